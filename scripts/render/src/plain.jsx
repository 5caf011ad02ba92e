// The kinds that are Grafana plugins and not published: drawn plainly from the same frames, colours and units.
import { useEffect, useRef } from 'react';
import { dateTimeFormat, getFieldDisplayName, getValueFormat, formattedValueToString } from '@grafana/data';
import { VizLegend } from '@grafana/ui';

const AXIS = 20;

function useCanvas(width, height, draw) {
  const canvas = useRef(null);
  useEffect(() => {
    const pen = canvas.current.getContext('2d');
    const scale = window.devicePixelRatio;
    canvas.current.width = width * scale;
    canvas.current.height = height * scale;
    pen.scale(scale, scale);
    draw(pen);
  });
  return <canvas ref={canvas} style={{ width, height, display: 'block' }} />;
}

function timeAxis(pen, theme, range, left, right, y) {
  const span = range.to - range.from;
  const step = [60, 300, 600, 900, 1800, 3600, 7200, 14400, 21600].find((each) => (span / each) * 90 < right - left) ?? 86400;
  pen.fillStyle = theme.colors.text.secondary;
  pen.font = `12px ${theme.typography.fontFamily}`;
  pen.textAlign = 'center';
  for (let at = Math.ceil(range.from / step) * step; at <= range.to; at += step) {
    const x = left + ((at - range.from) / span) * (right - left);
    if (x > left + 16 && x < right - 16) {
      pen.fillText(dateTimeFormat(at * 1000, { format: 'HH:mm', timeZone: 'utc' }), x, y + 14);
    }
  }
}

/** Equal neighbours as one bar; nothing where there is no value. */
function spans(field, times) {
  const found = [];
  field.values.forEach((value, index) => {
    if (value == null) {
      return;
    }
    const last = found.at(-1);
    const end = times[index + 1] ?? times[index];
    if (last && last.value === value && last.end === times[index]) {
      last.end = end;
    } else {
      found.push({ value, start: times[index], end });
    }
  });
  return found;
}

export function Timeline({ frames, range, width, height, theme }) {
  const rows = frames.map((frame) => ({ name: getFieldDisplayName(frame.fields[1], frame, frames), field: frame.fields[1], times: frame.fields[0].values }));
  const left = Math.min(width * 0.3, Math.max(...rows.map(({ name }) => name.length)) * 7 + 12);
  const shown = new Map();
  rows.forEach(({ field }) => field.values.forEach((value) => value != null && shown.set(field.display(value).text, field.display(value).color)));
  const tall = height - 28;
  const canvas = useCanvas(width, tall, (pen) => {
    const each = (tall - AXIS) / rows.length;
    rows.forEach(({ name, field, times }, index) => {
      const [top, deep] = [index * each + each * 0.09, each * 0.82];
      pen.font = `12px ${theme.typography.fontFamily}`;
      pen.fillStyle = theme.colors.text.secondary;
      pen.textAlign = 'right';
      pen.textBaseline = 'middle';
      pen.fillText(name, left - 8, top + deep / 2, left - 10);
      for (const { value, start, end } of spans(field, times)) {
        const x = left + ((start / 1000 - range.from) / (range.to - range.from)) * (width - left);
        const wide = ((end - start) / 1000 / (range.to - range.from)) * (width - left);
        const { text, color } = field.display(value);
        pen.fillStyle = color;
        pen.fillRect(x, top, Math.max(wide, 1), deep);
        if (pen.measureText(text).width + 10 < wide) {
          pen.fillStyle = theme.colors.getContrastText(color);
          pen.textAlign = 'left';
          pen.fillText(text, x + 5, top + deep / 2);
        }
      }
    });
    pen.textBaseline = 'alphabetic';
    timeAxis(pen, theme, range, left, width, tall - AXIS);
  });
  const items = [...shown].map(([label, color]) => ({ label, color, yAxis: 1 }));
  return (
    <div>
      {canvas}
      <VizLegend items={items} displayMode="list" placement="bottom" readonly />
    </div>
  );
}

function bounds(frames) {
  const le = (frame) => Number((frame.fields[1].labels?.le ?? '').replace('+Inf', 'Infinity'));
  return [...frames].sort((one, other) => le(one) - le(other)).map((frame) => ({ le: le(frame), values: frame.fields[1].values, times: frame.fields[0].values }));
}

export function Heat({ frames, panel, range, width, height, theme }) {
  const every = bounds(frames);
  const cells = every.map(({ le, values, times }, row) => ({
    le,
    times,
    counts: values.map((value, index) => Math.max(0, (value ?? 0) - (row ? every[row - 1].values[index] ?? 0 : 0))),
  }));
  const used = cells.map(({ counts }) => counts.some((count) => count > 1e-9));
  const rows = cells.slice(Math.max(0, used.indexOf(true) - 1), used.lastIndexOf(true) + 1);
  const most = Math.max(...rows.flatMap(({ counts }) => counts), 1e-9);
  const format = getValueFormat(panel.options.yAxis?.unit ?? panel.fieldConfig.defaults.unit);
  const left = 68;
  return useCanvas(width, height, (pen) => {
    const each = (height - AXIS) / rows.length;
    rows.forEach(({ le, counts, times }, index) => {
      const top = height - AXIS - (index + 1) * each;
      const wide = (width - left) / counts.length;
      counts.forEach((count, at) => {
        if (count > 1e-9) {
          pen.globalAlpha = 0.15 + 0.85 * Math.sqrt(count / most);
          pen.fillStyle = panel.options.color?.fill ?? '#5794F2';
          const x = left + ((times[at] / 1000 - range.from) / (range.to - range.from)) * (width - left);
          pen.fillRect(x, top + 0.5, wide + 0.3, each - 1);
        }
      });
      pen.globalAlpha = 1;
      if (each > 13 || index % Math.ceil(13 / each) === 0) {
        pen.font = `12px ${theme.typography.fontFamily}`;
        pen.fillStyle = theme.colors.text.secondary;
        pen.textAlign = 'right';
        pen.fillText(le === Infinity ? '+Inf' : formattedValueToString(format(le)), left - 8, Math.max(top + 5, 11));
      }
    });
    timeAxis(pen, theme, range, left, width, height - AXIS);
  });
}

const LEVELS = { critical: '#8F1D2B', error: '#E02F44', warning: '#FF9830', info: '#5794F2' };

export function Logs({ frames: streams, height, theme }) {
  const lines = streams
    .flatMap(({ stream, values }) => values.map(([at, text]) => ({ at: Number(at) / 1e6, level: stream.level, text })))
    .sort((one, other) => other.at - one.at);
  return (
    <div style={{ height, overflow: 'hidden', font: `12px/1.5 ${theme.typography.fontFamilyMonospace}` }}>
      {lines.map(({ at, level, text }, index) => (
        <div key={index} style={{ display: 'flex', gap: 8, padding: '1px 0', borderBottom: `1px solid ${theme.colors.border.weak}` }}>
          <span style={{ width: 3, background: LEVELS[level] ?? theme.colors.text.disabled }} />
          <span style={{ color: theme.colors.text.secondary, whiteSpace: 'nowrap' }}>{dateTimeFormat(at, { format: 'YYYY-MM-DD HH:mm:ss', timeZone: 'utc' })}</span>
          <span style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}>{text}</span>
        </div>
      ))}
    </div>
  );
}
