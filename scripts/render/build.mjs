// Bundles the page that draws a board: src/ and Grafana's packages -> dist/.
import { build } from 'esbuild';

// Their ES modules import CommonJS packages the way Node does, which a bundle cannot follow; their CommonJS build can be.
const grafanaAsCommonJs = {
  name: 'grafana-as-commonjs',
  setup({ onResolve, resolve }) {
    onResolve({ filter: /^@grafana\/(?:ui|data)(?:\/|$)/ }, ({ path, pluginData, resolveDir }) =>
      pluginData ? undefined : resolve(path, { kind: 'require-call', resolveDir, pluginData: true })
    );
  },
};

await build({
  entryPoints: ['src/page.jsx'],
  outfile: 'dist/page.js',
  bundle: true,
  format: 'iife',
  platform: 'browser',
  jsx: 'automatic',
  minify: true,
  plugins: [grafanaAsCommonJs],
  define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
  loader: { '.svg': 'text', '.css': 'text', '.woff2': 'dataurl', '.ttf': 'dataurl' },
  logLevel: 'error',
});
