// LogQL expressions as a JSON list on standard input -> a list of what Loki's own grammar for editors cannot read.
import { parser } from '@grafana/lezer-logql';

const chunks = [];
for await (const chunk of process.stdin) {
  chunks.push(chunk);
}
const wrong = JSON.parse(Buffer.concat(chunks)).filter((expression) => {
  let broken = false;
  parser.parse(expression).iterate({ enter: (node) => void (broken ||= node.type.isError) });
  return broken;
});
console.log(JSON.stringify(wrong));
