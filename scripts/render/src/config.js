// A panel's field configuration, applied: defaults, then overrides by name or pattern, then Grafana's own display processor.
import { getDisplayProcessor, getFieldDisplayName, getFieldSeriesColor, stringToJsRegex } from '@grafana/data';

function put(config, path, value) {
  const keys = path.split('.');
  const last = keys.pop();
  const owner = keys.reduce((at, key) => (at[key] ??= {}), config);
  owner[last] = path === 'thresholds' ? bottomless(value) : value;
}

/** JSON has no -Infinity: a first step without value is one. */
function bottomless(thresholds) {
  return { ...thresholds, steps: thresholds.steps.map((step) => ({ ...step, value: step.value ?? -Infinity })) };
}

function applied(field, name, { defaults, overrides }) {
  const config = structuredClone({ ...defaults, custom: defaults.custom ?? {} });
  if (config.thresholds) {
    config.thresholds = bottomless(config.thresholds);
  }
  for (const { matcher, properties } of overrides ?? []) {
    if (matcher.id === 'byName' ? matcher.options === name : stringToJsRegex(matcher.options).test(name)) {
      properties.forEach(({ id, value }) => put(config, id, value));
    }
  }
  return { ...config, displayNameFromDS: field.config.displayNameFromDS };
}

export function configure(frames, panel, theme) {
  let index = 0;
  for (const frame of frames) {
    for (const field of frame.fields) {
      const name = getFieldDisplayName(field, frame, frames);
      if (field.type === 'time') {
        field.display = getDisplayProcessor({ field, theme, timeZone: 'utc' });
        continue;
      }
      field.config = applied(field, name, panel.fieldConfig);
      field.state = { ...field.state, displayName: name, seriesIndex: index++ };
      if (field.config.color?.mode === 'palette-classic-by-name') {
        // Fixed now: joining the frames would give the first series another name, and its legend another colour.
        field.config.color = { mode: 'fixed', fixedColor: getFieldSeriesColor(field, theme).color };
      }
      field.display = getDisplayProcessor({ field, theme, timeZone: 'utc' });
      const links = field.config.links ?? [];
      field.getLinks = () => links.map(({ title, url }) => ({ title, href: url, target: '_self', origin: field }));
    }
  }
  return frames;
}
