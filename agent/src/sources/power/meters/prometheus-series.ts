/**
 * What a Prometheus server answers to `/api/v1/query`: one value per series now (vector, scalar), or a series' own
 * samples with their own times (matrix, the answer to a range such as `meter_watts[2m]`).
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import { instant, type Instant } from '@joulebook/shared/units.js';
import { z } from 'zod';
import type { Sample } from '../../serving/metrics/prometheus-text.js';
import { parseJson } from '../json-value.js';

export interface Series {
  readonly labels: ReadonlyMap<string, string>;
  /** In time order. Without `at` it is the value of the moment. */
  readonly samples: readonly { readonly value: number; readonly at?: Instant }[];
}

const sample = z.tuple([z.number(), z.string()]);
const labels = z.record(z.string(), z.string());
const answer = z.discriminatedUnion('status', [
  z.object({
    status: z.literal('success'),
    data: z.discriminatedUnion('resultType', [
      z.object({ resultType: z.literal('vector'), result: z.array(z.object({ metric: labels, value: sample })) }),
      z.object({ resultType: z.literal('matrix'), result: z.array(z.object({ metric: labels, values: z.array(sample) })) }),
      z.object({ resultType: z.literal('scalar'), result: sample }),
    ]),
  }),
  z.object({ status: z.literal('error'), errorType: z.string().optional(), error: z.string().optional() }),
]);

/** `NaN` and `+Inf` are values there. */
const valueOf = (text: string): number => (/^[+-]?inf/i.test(text) ? (text.startsWith('-') ? -Infinity : Infinity) : Number(text));

/** @throws TelemetryError NOT_JSON, QUERY_FAILED (`retry`) */
export function seriesOfQuery(text: string, where: string): readonly Series[] {
  const parsed = answer.safeParse(parseJson(text, where));
  if (!parsed.success) throw new TelemetryError('QUERY_FAILED', `${where} did not answer as a Prometheus server does; check the address.`, 'retry');
  if (parsed.data.status === 'error') throw new TelemetryError('QUERY_FAILED', `${where} refuses the query: ${parsed.data.error ?? parsed.data.errorType ?? 'it does not say why'}.`, 'retry');
  const { data } = parsed.data;
  if (data.resultType === 'scalar') return [{ labels: new Map(), samples: [{ value: valueOf(data.result[1]) }] }];
  if (data.resultType === 'vector') return data.result.map(({ metric, value: [, value] }) => ({ labels: new Map(Object.entries(metric)), samples: [{ value: valueOf(value) }] }));
  return data.result.map(({ metric, values }) => ({ labels: new Map(Object.entries(metric)), samples: values.map(([at, value]) => ({ value: valueOf(value), at: instant(at) })) }));
}

/** The samples of a metrics page that have this name and at least these labels. */
export function seriesOfPage(samples: readonly Sample[], metric: string, wanted: Readonly<Record<string, string>>): readonly Series[] {
  return samples
    .filter(({ name, labels: its }) => name === metric && Object.entries(wanted).every(([label, value]) => its.get(label) === value))
    .map(({ labels: its, value, at }) => ({ labels: its, samples: [{ value, ...(at !== undefined && { at }) }] }));
}
