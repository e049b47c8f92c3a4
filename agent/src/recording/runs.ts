/** Whole runs (energy and tokens per row, no time series) as slices: one cell per row, phase `active`. */
import type { EnergySlice, RequestsSlice, Slice, TokenKind } from '@joulebook/shared/slice.js';
import { instant, microjoules, seconds, toEpochMicros, toIso, type Instant } from '@joulebook/shared/units.js';
import { TelemetryError } from '@joulebook/shared/errors.js';
import { clipCount, type OpenWindow } from '../correlator/cut.js';
import type { Flagged } from '../sources/source.js';
import type { Manifest } from './manifest.js';
import type { OpenedRuns } from './open.js';
import { readRuns, type Run } from './runs-table.js';

/** Rows without a start follow each other from here, file after file; rows without a length are given one second of it. */
export const NO_TIME_ORIGIN = instant(0);
const NOMINAL_SECONDS = 1;

/**
 * @param after where a row without a start begins
 * @param window of a row that has a start, what lies in it; the time of one without is not known, so that it is told whatever the window
 */
export async function runSlices({ entry, file, options }: OpenedRuns, manifest: Manifest, after: Instant, window: OpenWindow): Promise<{ slices: Slice[]; flagged: Flagged[]; end: Instant }> {
  const { runs, flagged } = await readRuns({ ...file, tz: entry.tz }, options);
  if (runs.length === 0) throw new TelemetryError('NO_RUNS', `${file.label}: no usable run in it.`, 'abort');
  const slices: Slice[] = [];
  let follows = after;
  const untimed = runs.filter((run) => run.start === undefined).length;
  for (const run of runs) {
    const from = run.start ?? follows;
    const to = instant(from + (run.seconds ?? NOMINAL_SECONDS));
    follows = to;
    slices.push(...slicesOf(run, { from, to, window: run.start === undefined ? { from } : window }, entry, manifest, file.label));
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

interface RunTime {
  readonly from: Instant;
  readonly to: Instant;
  readonly window: OpenWindow;
}

/** What it drew and did is even over its time, as far as anybody knows. */
function slicesOf(run: Run, { from, to, window }: RunTime, entry: OpenedRuns['entry'], manifest: Manifest, file: string): Slice[] {
  const part = (whole: number): number => clipCount(from, to, whole, window).count;
  const { inside } = clipCount(from, to, 1, window);
  if (!inside) return [];
  const length = run.seconds === undefined ? 0 : inside.to - inside.from;
  const common = { from: toEpochMicros(inside.from), to: toEpochMicros(inside.to), ...dimensionsOf(run, entry, manifest) };
  const boundary = entry.boundary ?? 'gpu';
  const energy: EnergySlice = {
    kind: 'energy',
    ...common,
    device: entry.device ?? boundary,
    boundary,
    phase: 'active',
    microjoules: microjoules(part(Math.round(run.joules * 1e6))),
    modelledMicrojoules: microjoules(0),
    seconds: seconds(length),
    askedSeconds: seconds(length),
    source: file,
    method: 'counter',
  };
  const [input, cachedInput, output, requestsInside] = [run.tokens.input, run.tokens.cachedInput, run.tokens.output, run.requests].map((whole) => (whole === undefined ? undefined : part(whole)));
  const kinds: readonly (readonly [TokenKind, number | undefined])[] = [
    ['input', input],
    ['cachedInput', cachedInput],
    ['output', output],
  ];
  const tokens = kinds.flatMap(([token, count]): Slice[] => (count === undefined ? [] : [{ kind: 'tokens', ...common, token, count }]));
  const requests: RequestsSlice[] =
    requestsInside === undefined
      ? []
      : [{ kind: 'requests', ...common, outcome: 'ok', requests: requestsInside, inputTokens: input ?? 0, cachedInputTokens: cachedInput ?? 0, outputTokens: output ?? 0 }];
  return [energy, ...tokens, ...requests];
}
