// A dashboard as Grafana publishes its types, each panel with the options of its own plugin; test_schema.py compiles it.
import type { AnnotationQuery, Dashboard, FieldConfig, MatcherConfig, Panel, RowPanel } from '@grafana/schema';
import type * as bargauge from '@grafana/panels/bargauge';
import type * as heatmap from '@grafana/panels/heatmap';
import type * as stat from '@grafana/panels/stat';
import type * as stateTimeline from '@grafana/panels/statetimeline';
import type * as table from '@grafana/panels/table';
import type * as timeseries from '@grafana/panels/timeseries';

/** What JSON says for a type: a member of an enumeration is its text, and what has a default may be left out. */
type Written<T> = T extends string
  ? `${T}`
  : T extends number | boolean | null | undefined | unknown[]
    ? T extends (infer Item)[] ? Written<Item>[] : T
    : unknown extends T ? T : { [Key in keyof T]?: Written<T[Key]> };

type Shown<Type extends string, Options, Custom> = Written<Omit<Panel, 'type' | 'options' | 'fieldConfig'>> & {
  type: Type;
  options: Written<Options>;
  fieldConfig: {
    defaults: Written<Omit<FieldConfig, 'custom'>> & { custom?: Written<Custom> };
    overrides: { matcher: MatcherConfig; properties: { id: string; value?: unknown }[] }[];
  };
};

export type AnyPanel =
  | Shown<'bargauge', bargauge.Options, never>
  | Shown<'heatmap', heatmap.Options, heatmap.FieldConfig>
  | Shown<'stat', stat.Options, never>
  | Shown<'state-timeline', stateTimeline.Options, stateTimeline.FieldConfig>
  | Shown<'table', table.Options, table.FieldConfig>
  | Shown<'timeseries', timeseries.Options, timeseries.FieldConfig>
  | Written<Omit<RowPanel, 'type'>> & { type: 'row' };

/** What Prometheus adds to an annotation: Grafana 11 reads it here, later ones move it into its target themselves. */
type Marks = {
  expr: string;
  step?: string;
  titleFormat: string;
  textFormat?: string;
  tagKeys?: string;
  useValueForTime?: boolean;
};

export type Board = Written<Omit<Dashboard, 'annotations' | 'panels'>> & {
  annotations: { list: (Written<AnnotationQuery> & Marks)[] };
  panels: AnyPanel[];
};
