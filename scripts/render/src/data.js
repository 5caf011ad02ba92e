// A panel's queries -> Grafana's data frames, from a real Prometheus.
import {
  FieldType,
  dateTime,
  renderLegendFormat,
  standardTransformers,
  standardTransformersRegistry,
  toDataFrame,
  transformDataFrame,
} from '@grafana/data';
import { firstValueFrom } from 'rxjs';

const byId = new Map(Object.values(standardTransformers).map((transformation) => [transformation.id, transformation]));
standardTransformersRegistry.setInit(() =>
  [...byId.values()].map((transformation) => ({
    id: transformation.id,
    name: transformation.name,
    transformation: () => Promise.resolve(transformation),
    editor: () => null,
  }))
);

const RATE_INTERVAL_SECONDS = 60;

/** The text with the board's variables, and Grafana's own, in place. */
export function expand(text, board, range) {
  const own = { __rate_interval: `${RATE_INTERVAL_SECONDS}s`, __range: `${Math.round(range.to - range.from)}s`, __range_s: Math.round(range.to - range.from), __interval: '30s', __interval_ms: 30000, __auto: '1m' };
  const chosen = Object.fromEntries(
    board.templating.list.map((variable) => [
      variable.name,
      variable.type === 'custom' ? variable.current.value : variable.allValue ?? variable.current?.value ?? '',
    ])
  );
  const values = { ...chosen, ...range.variables, ...own };
  return text.replace(/\$\{?(\w+)\}?/g, (found, name) => values[name] ?? found);
}

async function ask(path, parameters) {
  const answer = await fetch(`${path}?${new URLSearchParams(parameters)}`);
  const { status, data, error } = await answer.json();
  if (status !== 'success') {
    throw new Error(`${parameters.query}: ${error}`);
  }
  return data.result;
}

function legend(target, metric) {
  const { __name__: name, ...labels } = metric;
  const listed = Object.entries(labels).map(([key, value]) => `${key}="${value}"`).join(', ');
  return target.legendFormat ? renderLegendFormat(target.legendFormat, metric).trim() : labels.le ?? (listed ? `{${listed}}` : name ?? 'Value');
}

function points(times, values, target, metric) {
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: times },
      { name: 'Value', type: FieldType.number, values, labels: metric, config: { displayNameFromDS: legend(target, metric) } },
    ],
  });
}

/** A range query: one frame per series; steps without a sample are null, so that lines break there. */
async function overTime(target, query, range, step) {
  const found = await ask('/api/v1/query_range', { query, start: range.from, end: range.to, step });
  const times = Array.from({ length: Math.floor((range.to - range.from) / step) + 1 }, (_, index) => range.from + index * step);
  return found.map(({ metric, values }) => {
    const known = new Map(values.map(([at, value]) => [Math.round(at * 1000), Number(value)]));
    return points(times.map((at) => at * 1000), times.map((at) => known.get(Math.round(at * 1000)) ?? null), target, metric);
  });
}

async function now(target, query, range) {
  const found = await ask('/api/v1/query', { query, time: range.to });
  return found.map(({ metric, value }) => points([value[0] * 1000], [Number(value[1])], target, metric));
}

/** A table query: all series of a query as the lines of one frame. */
async function lines(target, query, range, several) {
  const found = await ask('/api/v1/query', { query, time: range.to });
  const labels = [...new Set(found.flatMap(({ metric }) => Object.keys(metric)))].filter((label) => label !== '__name__');
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: found.map(({ value }) => value[0] * 1000) },
      ...labels.map((label) => ({ name: label, type: FieldType.string, values: found.map(({ metric }) => metric[label] ?? '') })),
      { name: several ? `Value #${target.refId}` : 'Value', type: FieldType.number, values: found.map(({ value }) => Number(value[1])) },
    ],
  });
}

async function logLines(target, query, range) {
  return ask('/loki/api/v1/query_range', { query, start: range.from, end: range.to, limit: 200 });
}

/** What a panel draws: frames, or streams of log lines. */
export async function load(panel, board, range) {
  const width = panel.gridPos.w * 60;
  const step = Math.max(5, Math.ceil((range.to - range.from) / width / 5) * 5);
  const several = panel.targets.length > 1;
  const answers = await Promise.all(
    panel.targets.map((target) => {
      const query = expand(target.expr, board, range);
      if (target.datasource.type === 'loki') {
        return panel.type === 'logs' ? logLines(target, query, range) : lokiOverTime(target, query, range, step);
      }
      if (panel.type === 'table') {
        return lines(target, query, range, several);
      }
      return target.instant ? now(target, query, range) : overTime(target, query, range, step);
    })
  );
  const frames = answers.flat();
  if (!panel.transformations?.length) {
    return frames;
  }
  const full = frames.filter((frame) => frame.length);
  return firstValueFrom(transformDataFrame(panel.transformations, full));
}

async function lokiOverTime(target, query, range, step) {
  const found = await ask('/loki/api/v1/query_range', { query, start: range.from, end: range.to, step: Math.max(step, 60) });
  return found.map(({ metric, values }) =>
    points(values.map(([at]) => at * 1000), values.map(([, value]) => Number(value)), target, metric)
  );
}

export function timeRange({ from, to }) {
  const [start, end] = [dateTime(from * 1000), dateTime(to * 1000)];
  return { from: start, to: end, raw: { from: start, to: end } };
}
