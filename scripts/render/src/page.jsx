// One board as a page: Grafana's grid, its panel chrome and its components, with data of a real Prometheus.
import { useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { ThemeContext, createTheme, dateTimeFormat } from '@grafana/data';
import { GlobalStyles, Icon, PanelChrome } from '@grafana/ui';

import uplotStyle from 'uplot/dist/uPlot.min.css';

import { configure } from './config.js';
import { load } from './data.js';
import { Bars, Lines, Rows, Stat } from './panels.jsx';
import { Heat, Logs, Timeline } from './plain.jsx';

const COLUMNS = 24;
const CELL = { height: 30, gap: 8 };
const EDGE = 16;
const KINDS = { stat: Stat, timeseries: Lines, table: Rows, bargauge: Bars, heatmap: Heat, 'state-timeline': Timeline, logs: Logs };

const empty = (panel, frames) =>
  panel.type === 'logs' ? frames.every(({ values }) => !values.length) : frames.every((frame) => !frame.length) || !frames.length;

function Body({ panel, frames, ...rest }) {
  const Kind = KINDS[panel.type];
  if (empty(panel, frames)) {
    return <NoData text={panel.fieldConfig.defaults.noValue} {...rest} />;
  }
  return <Kind panel={panel} frames={frames} {...rest} />;
}

function NoData({ text, height, theme }) {
  return (
    <div data-empty style={{ height, display: 'grid', placeItems: 'center', textAlign: 'center', padding: 8, color: theme.colors.text.secondary }}>
      {text}
    </div>
  );
}

/** Where a cell of the grid stands, in pixels. */
function place({ x, y, w, h }) {
  const column = (window.innerWidth - 2 * EDGE + CELL.gap) / COLUMNS;
  return {
    position: 'absolute',
    left: EDGE + x * column,
    top: y * (CELL.height + CELL.gap),
    width: w * column - CELL.gap,
    height: h * (CELL.height + CELL.gap) - CELL.gap,
  };
}

function Panel({ panel, board, range, theme }) {
  const [state, setState] = useState();
  useEffect(() => {
    load(panel, board, range)
      .then((frames) => setState({ frames: panel.type === 'logs' ? frames : configure(frames, panel, theme) }))
      .catch((error) => setState({ error: String(error) }));
  }, []);
  const at = place(panel.gridPos);
  const status = state ? (state.error ? 'error' : empty(panel, state.frames) ? 'empty' : 'data') : 'loading';
  return (
    <div data-panel={panel.title} data-type={panel.type} data-status={status} data-error={state?.error} style={at}>
      <PanelChrome title={panel.title} width={at.width} height={at.height} padding={panel.type === 'stat' ? 'none' : 'md'} titleItems={<Info theme={theme} />}>
        {(width, height) => state && !state.error && <Body panel={panel} frames={state.frames} range={range} theme={theme} width={width} height={height} />}
      </PanelChrome>
    </div>
  );
}

const Info = ({ theme }) => <Icon name="info-circle" size="sm" style={{ color: theme.colors.text.secondary }} />;

function Heading({ row, theme }) {
  return (
    <div data-row={row.title} style={{ ...place(row.gridPos), display: 'flex', alignItems: 'center', gap: 6, ...theme.typography.h5, margin: 0 }}>
      <Icon name={row.collapsed ? 'angle-right' : 'angle-down'} />
      {row.title}
      {row.collapsed && <span style={{ color: theme.colors.text.secondary, fontWeight: 400 }}>({row.panels.length} panels)</span>}
    </div>
  );
}

function Chip({ label, value, theme }) {
  const { colors, shape } = theme;
  return (
    <span style={{ display: 'inline-flex', border: `1px solid ${colors.border.medium}`, borderRadius: shape.radius.default, overflow: 'hidden', fontSize: 12, lineHeight: '30px' }}>
      {label && <span style={{ padding: '0 8px', background: colors.background.secondary, fontWeight: 500 }}>{label}</span>}
      <span style={{ padding: '0 8px', background: colors.background.canvas }}>{value}</span>
    </span>
  );
}

function Top({ board, range, theme }) {
  const clock = (at) => dateTimeFormat(at * 1000, { format: 'YYYY-MM-DD HH:mm', timeZone: 'utc' });
  const chips = board.templating.list.filter(({ type }) => type !== 'datasource');
  return (
    <>
      <div style={{ height: 40, padding: `0 ${EDGE}px`, display: 'flex', alignItems: 'center', gap: 8, background: theme.colors.background.primary, borderBottom: `1px solid ${theme.colors.border.weak}` }}>
        <span style={{ color: theme.colors.text.secondary }}>Dashboards ›</span> <b>{board.title}</b>
        <span style={{ flex: 1 }} />
        <Chip value={`${clock(range.from)} to ${clock(range.to)} UTC`} theme={theme} />
      </div>
      <div style={{ padding: `8px ${EDGE}px`, display: 'flex', gap: 8, flexWrap: 'wrap' }}>
        {chips.map(({ name, label, current }) => (
          <Chip key={name} label={label} value={range.variables[name] ?? [current.text].flat().join(', ')} theme={theme} />
        ))}
      </div>
    </>
  );
}

/** Panels in place; with `all`, collapsed rows are opened below each other. */
function opened(board, all) {
  let moved = 0;
  return board.panels.flatMap((panel) => {
    const at = { ...panel, gridPos: { ...panel.gridPos, y: panel.gridPos.y + moved } };
    if (panel.type !== 'row' || !all || !panel.collapsed) {
      return [at];
    }
    const inside = panel.panels.map((each) => ({ ...each, gridPos: { ...each.gridPos, y: each.gridPos.y + moved } }));
    const below = Math.max(...inside.map(({ gridPos }) => gridPos.y + gridPos.h));
    moved += below - at.gridPos.y - 1;
    return [{ ...at, collapsed: false }, ...inside];
  });
}

function Board({ board, range, theme, all }) {
  const panels = opened(board, all);
  const rows = Math.max(...panels.map(({ gridPos }) => gridPos.y + gridPos.h));
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <style>{uplotStyle}</style>
      <div style={{ background: theme.colors.background.canvas, color: theme.colors.text.primary, minHeight: '100vh' }}>
        <Top board={board} range={range} theme={theme} />
        <div style={{ position: 'relative', height: rows * (CELL.height + CELL.gap) + EDGE }}>
          {panels.map((panel) =>
            panel.type === 'row' ? (
              <Heading key={panel.id} row={panel} theme={theme} />
            ) : (
              <Panel key={panel.id} panel={panel} board={board} range={range} theme={theme} />
            )
          )}
        </div>
      </div>
    </ThemeContext.Provider>
  );
}

const asked = new URLSearchParams(window.location.search);
const range = { from: Number(asked.get('from')), to: Number(asked.get('to')), variables: JSON.parse(asked.get('variables') ?? '{}') };
const theme = createTheme({ colors: { mode: asked.get('theme') } });
fetch(`/boards/${asked.get('board')}.json`)
  .then((answer) => answer.json())
  .then((board) =>
    createRoot(document.getElementById('page')).render(<Board board={board} range={range} theme={theme} all={asked.has('all')} />)
  );
