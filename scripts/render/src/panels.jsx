// The kinds of panels that Grafana publishes as components: drawn by Grafana's own code.
import { getDisplayValueAlignmentFactors, getFieldDisplayName } from '@grafana/data';
import { BarGauge, BigValue, Table, TimeSeries, VizRepeater } from '@grafana/ui';

import { timeRange } from './data.js';

const values = (frames) =>
  frames.flatMap((frame) =>
    frame.fields
      .filter((field) => field.type === 'number')
      .map((field) => ({ field, display: field.display(field.values.at(-1)), name: getFieldDisplayName(field, frame, frames) }))
  );

export function Stat({ frames, panel, width, height, theme }) {
  const { colorMode, justifyMode, textMode } = panel.options;
  const shown = values(frames);
  return (
    <VizRepeater
      source={shown}
      getValues={() => shown}
      width={width}
      height={height}
      orientation="auto"
      renderCounter={0}
      renderValue={({ value, width: w, height: h }) => (
        <BigValue
          width={w}
          height={h}
          theme={theme}
          value={{ ...value.display, title: shown.length > 1 ? value.name : undefined }}
          colorMode={colorMode}
          graphMode="none"
          justifyMode={justifyMode}
          textMode={textMode}
        />
      )}
    />
  );
}

export function Bars({ frames, panel, width, height, theme }) {
  const { displayMode, orientation, valueMode, showUnfilled } = panel.options;
  const shown = values(frames);
  const most = Math.max(...shown.map(({ field, display }) => field.config.max ?? display.numeric));
  return (
    <VizRepeater
      source={shown}
      getValues={() => shown}
      getAlignmentFactors={(every) => getDisplayValueAlignmentFactors(every.map(({ display, name }) => ({ display: { ...display, title: name } })))}
      width={width}
      height={height}
      orientation={orientation}
      minVizHeight={16}
      itemSpacing={8}
      renderCounter={0}
      renderValue={({ value, width: w, height: h, orientation: o, alignmentFactors }) => (
        <BarGauge
          width={w}
          height={h}
          theme={theme}
          field={{ ...value.field.config, max: most || 1 }}
          display={value.field.display}
          value={{ ...value.display, title: value.name }}
          orientation={o}
          displayMode={displayMode}
          valueDisplayMode={valueMode}
          showUnfilled={showUnfilled}
          alignmentFactors={alignmentFactors}
        />
      )}
    />
  );
}

export function Lines({ frames, panel, range, width, height }) {
  return (
    <TimeSeries
      frames={frames}
      structureRev={1}
      timeRange={timeRange(range)}
      timeZone="utc"
      width={width}
      height={height}
      legend={panel.options.legend}
      options={panel.options}
    />
  );
}

export function Rows({ frames, panel, width, height }) {
  return <Table data={frames[0]} width={width} height={height} initialSortBy={panel.options.sortBy} cellHeight="sm" columnMinWidth={60} />;
}
