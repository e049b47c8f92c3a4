/** Whole runs (energy and tokens per row, no time series) as slices: one cell per row, phase `active`. */
import type { EnergySlice, RequestsSlice, Slice, TokenKind } from '@joulebook/shared/slice.js';
import { instant, microjoules, seconds, toEpochMicros, toIso, type Instant } from '@joulebook/shared/units.js';
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { Flagged } from '../sources/source.js';
import type { Manifest } from './manifest.js';
import type { OpenedRuns } from './open.js';
import { readRuns, type Run } from './runs-table.js';

/** Rows without a start follow each other from here, file after file; rows without a length are given one second of it. */
export const NO_TIME_ORIGIN = instant(0);
const NOMINAL_SECONDS = 1;

/** @param after where a row without a start begins */
export async function runSlices({ entry, file, options }: OpenedRuns, manifest: Manifest, after: Instant): Promise<{ slices: Slice[]; flagged: Flagged[]; end: Instant }> {
  const { runs, flagged } = await readRuns({ ...file, tz: entry.tz }, options);
  if (runs.length === 0) throw new TelemetryError('NO_RUNS', `${file.label}: no usable run in it.`, 'abort');
  const slices: Slice[] = [];
  let follows = after;
  const untimed = runs.filter((run) => run.start === undefined).length;
  for (const run of runs) {
    const from = run.start ?? follows;
    const to = instant(from + (run.seconds ?? NOMINAL_SECONDS));
    follows = to;
    slices.push(...slicesOf(run, from, to, entry, manifest, file.label));
  }
  const said: Flagged[] = untimed > 0 ? [{ kind: 'flagged', code: 'NO_TIME', count: untimed, detail: `${file.label}: ${untimed} runs have no start; they are laid one after the other from ${toIso(after)}` }] : [];
  const first = slices[0];
  const all = [...flagged, ...said];
  if (first) {
    for (const { code, detail, count } of all) slices.push({ kind: 'flag', from: first.from, to: first.to, ...dimensionsOf(runs[0], entry, manifest), code, detail: detail.slice(0, 2000), count });
  }
  return { slices, flagged: all, end: follows };
}

function dimensionsOf(run: Run | undefined, entry: OpenedRuns['entry'], manifest: Manifest) {
  const labels = { ...manifest.labels, ...run?.labels };
  return {
    ...(manifest.site !== undefined && { site: manifest.site }),
    ...(entry.deployment !== undefined && { deployment: entry.deployment }),
    ...(entry.model !== undefined && { model: entry.model }),
    ...(Object.keys(labels).length > 0 && { labels }),
  };
}

function slicesOf(run: Run, from: Instant, to: Instant, entry: OpenedRuns['entry'], manifest: Manifest, file: string): Slice[] {
  const common = { from: toEpochMicros(from), to: toEpochMicros(to), ...dimensionsOf(run, entry, manifest) };
  const boundary = entry.boundary ?? 'gpu';
  const energy: EnergySlice = {
    kind: 'energy',
    ...common,
    device: entry.device ?? boundary,
    boundary,
    phase: 'active',
    microjoules: microjoules(Math.round(run.joules * 1e6)),
    modelledMicrojoules: microjoules(0),
    seconds: seconds(run.seconds ?? 0),
    askedSeconds: seconds(run.seconds ?? 0),
    source: file,
    method: 'counter',
  };
  const kinds: readonly (readonly [TokenKind, number | undefined])[] = [
    ['input', run.tokens.input],
    ['cachedInput', run.tokens.cachedInput],
    ['output', run.tokens.output],
  ];
  const tokens = kinds.flatMap(([token, count]): Slice[] => (count === undefined ? [] : [{ kind: 'tokens', ...common, token, count }]));
  const requests: RequestsSlice[] =
    run.requests === undefined
      ? []
      : [{ kind: 'requests', ...common, outcome: 'ok', requests: run.requests, inputTokens: run.tokens.input ?? 0, cachedInputTokens: run.tokens.cachedInput ?? 0, outputTokens: run.tokens.output ?? 0 }];
  return [energy, ...tokens, ...requests];
}
