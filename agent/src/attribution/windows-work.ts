/**
 * Windows of counts → what they say of their time. Where it is known how long such work takes, a window is laid out in parts
 * (`window-pace.ts`); where it is not, it stays whole, with its counts.
 *
 *   window   ├───────────10 s───────────┤     parts  ├─with prompts─┤├──decode──┤├nobody┤
 */
import { instant, type Instant } from '@joulebook/shared/units.js';
import type { WindowEvidence } from '../sources/source.js';
import type { WindowPace } from './window-pace.js';
import { decodeOnly, DOUBT, NO_LOAD, plus, prefillOnly, type Counts, type Load, type Stretch, type Work } from './work.js';

export interface WindowPart {
  readonly from: Instant;
  readonly to: Instant;
  /** The source that counts the deployment's tokens said it; another one of the same work is listened to only where that is silent. */
  readonly counting: boolean;
  readonly rank: string | undefined;
  /** `busy`: somebody ran, and nothing tells what; `unknown`: nothing tells whether anybody ran. */
  readonly state: 'work' | 'busy' | 'idle' | 'unknown';
  readonly counts?: Counts;
  /** Absent: how long the counted work took is not known. */
  readonly work?: Work;
}

export interface WindowsWork {
  /** Windows of one source come in order. @param counting the source counts the tokens of its deployment */
  parts(evidence: WindowEvidence, counting: boolean): WindowPart[];
}

/** In a longer window somebody may come and go. */
const LONG_WINDOW_SECONDS = 3;
/** A KV cache of which more is in use runs out now and then. */
const FULL_CACHE = 0.9;
/** Fewer decode steps per iteration with prompts than this: the engine does not mix them. */
export const LEAST_MIXING = 0.2;

const NO_COUNTS = { prefillTokens: 0, decodeTokens: 0, decodeSteps: 0, counted: false, kvUsage: 0, ranks: 1, wholly: false, recomputes: false } as const;

export function windowsWork(pace: WindowPace): WindowsWork {
  const looks = new Map<string, WindowEvidence>();
  let anyCounts = false;

  function parts(evidence: WindowEvidence, counting: boolean): WindowPart[] {
    const key = `${String(counting)}\u0000${evidence.rank ?? ''}\u0000${evidence.model ?? ''}`;
    const before = looks.get(key);
    looks.set(key, evidence);
    anyCounts ||= counting;
    const { from, to, tokens, busy, saturated, credits, running = 0, phaseSeconds, rank } = evidence;
    if (!(to > from)) return [];
    const whole = { from, to, counting, rank };
    const input = tokens.input === undefined && tokens.cachedInput === undefined ? undefined : (tokens.input ?? 0);
    const { output } = tokens;
    const prefillTokens = evidence.prefillTokens ?? input ?? 0;
    if (prefillTokens > 0 || (output ?? 0) > 0) {
      // One that only knows its output can't tell what else ran.
      if (output === undefined || (input === undefined && evidence.prefillTokens === undefined && phaseSeconds === undefined)) return [{ ...whole, state: 'busy' }];
      const earlier = before?.to === from ? before : undefined;
      const time = to - from;
      const meanRunning = (running + (earlier?.running ?? running)) / 2;
      const sequences = Math.max(1, evidence.decodeSteps !== undefined && evidence.decodeSteps > 0 ? output / evidence.decodeSteps : (evidence.sequenceSeconds ?? meanRunning * time) / time);
      const counted = phaseSeconds !== undefined || evidence.decodeSteps !== undefined || evidence.sequenceSeconds !== undefined;
      const counts: Counts = {
        from,
        to,
        prefillTokens,
        decodeTokens: output,
        decodeSteps: evidence.decodeSteps ?? output / sequences,
        counted,
        phaseSeconds,
        sequenceSeconds: counted ? sequences * time : earlier?.running === undefined || evidence.running === undefined ? undefined : meanRunning * time,
        kvUsage: ((evidence.kvUsage ?? 0) + (before?.kvUsage ?? evidence.kvUsage ?? 0)) / 2,
        ranks: evidence.engines ?? 1,
        wholly: Math.min(running, earlier?.running ?? 0) >= (time > LONG_WINDOW_SECONDS ? 2 : 1),
        // A full cache throws sequences out, whose prompts are computed again; what is counted at first tokens leaves that out.
        recomputes: credits === 'firstToken' && evidence.prefillTokens === undefined && (busy ?? 0) > running && Math.max(evidence.kvUsage ?? 0, earlier?.kvUsage ?? 0) > FULL_CACHE,
      };
      return layOut({ ...whole, state: 'work', counts }, counts, {
        sequences,
        prompts: promptsOf(evidence),
      });
    }
    if (saturated) return [{ ...whole, state: 'busy' }];
    // A request runs and yields nothing: its prompt is being computed, and will be credited at its first token.
    if (credits === 'firstToken' && running > 0 && output === 0) return [{ ...whole, state: 'work', counts: { ...NO_COUNTS, from, to, prefillTokens: 1 }, work: prefillOnly() }];
    if (busy === undefined) return [{ ...whole, state: 'unknown' }];
    return [{ ...whole, state: busy > 0 ? 'busy' : 'idle' }];
  }

  function layOut(whole: WindowPart, counts: Counts, how: { readonly sequences: number; readonly prompts: number | undefined }): WindowPart[] {
    const { from, to, prefillTokens, decodeTokens, decodeSteps, phaseSeconds } = counts;
    if (phaseSeconds && phaseSeconds.prefill + phaseSeconds.decode > 0) return [{ ...whole, work: turnsOf(counts, phaseSeconds) }];
    const time = to - from;
    if (!counts.counted) return [whole];
    const told = { seconds: time, kvUsage: counts.kvUsage, prompts: how.prompts, promptTokens: prefillTokens, decodedTokens: decodeTokens, sequences: how.sequences, decodeSteps };
    if (counts.wholly && (whole.counting || !anyCounts)) pace.learn(told);
    const laid = pace.layOut(told);
    if (!laid) return [whole];
    const busy = laid.prefill.seconds + laid.decode.seconds;
    const scale = counts.wholly || busy > time ? time / busy : 1;
    const prefillEnd = instant(from + laid.prefill.seconds * scale);
    const decodeEnd = counts.wholly ? to : instant(Math.min(to, prefillEnd + laid.decode.seconds * scale));
    const step = laid.decode.step * scale;
    const laidOut: WindowPart[] = [];
    if (prefillEnd > from) {
      const iterations = laid.prefill.iterations / (prefillEnd - from);
      const prompt: Load = { ...NO_LOAD, busy: Math.min(1, (laid.prefill.alone * scale) / (prefillEnd - from)), iterations, promptTokens: prefillTokens / (prefillEnd - from) };
      const mixed: Load = { ...NO_LOAD, busy: Math.min(1, iterations * laid.mixing * step), iterations: iterations * laid.mixing, decoded: iterations * laid.mixing * how.sequences };
      const work: Work = laid.mixing < LEAST_MIXING || decodeTokens === 0 ? prefillOnly({ ...prompt, busy: 1 }) : { ran: { ...plus(prompt, mixed), busy: 1, iterations }, prefill: prompt, decode: mixed, mixing: 'iteration' };
      laidOut.push({ ...whole, to: prefillEnd, work });
    }
    if (decodeEnd > prefillEnd) laidOut.push({ ...whole, from: prefillEnd, to: decodeEnd, work: decodeOnly({ ...NO_LOAD, busy: 1, iterations: 1 / step, decoded: how.sequences / step }) });
    if (to > decodeEnd) laidOut.push({ ...whole, from: decodeEnd, work: NOBODY });
    return laidOut;
  }

  return { parts };
}

/** What the windows that are on say together; undefined: there are none. */
export function stretchOf(from: Instant, to: Instant, on: readonly WindowPart[]): Stretch | undefined {
  const parts = on.some(({ counting }) => counting) ? on.filter(({ counting }) => counting) : on;
  if (parts.length === 0) return undefined;
  const plain = (state: 'active' | 'idle' | 'unknown'): Stretch => ({ from, to, state, work: [], doubt: 0 });
  if (parts.some(({ state }) => state === 'busy')) return plain('active');
  const counts = parts.flatMap((part) => part.counts ?? []);
  if (counts.length === 0) return plain(parts.every(({ state }) => state === 'idle') ? 'idle' : 'unknown');
  const groupEnd = instant(Math.max(...counts.map((each) => each.to)));
  const work = parts.flatMap((part) => part.work ?? []);
  const doubt = counts.every((each) => each.counted) ? DOUBT.windows : DOUBT.looks;
  if (work.length < counts.length) return { from, to, state: 'work', work: plainly(counts), doubt, groupEnd, window: sumOf(counts) };
  const ran = work.filter((each) => each !== NOBODY);
  return ran.length > 0 ? { from, to, state: 'work', work: ran, doubt, groupEnd } : { from, to, state: 'idle', work: [], doubt, groupEnd };
}

/** Of a part of a window in which nobody ran. */
const NOBODY: Work = { ran: NO_LOAD, prefill: undefined, decode: undefined, mixing: 'iteration' };

/** Which phases there were, where nothing is known of how long they took. */
function plainly(counts: readonly Counts[]): Work[] {
  const busy: Load = { ...NO_LOAD, busy: 1 };
  return [{ ran: busy, prefill: counts.some(({ prefillTokens }) => prefillTokens > 0) ? busy : undefined, decode: counts.some(({ decodeTokens }) => decodeTokens > 0) ? busy : undefined, mixing: 'turns' }];
}

function turnsOf({ from, to, prefillTokens, decodeTokens, decodeSteps }: Counts, phaseSeconds: { readonly prefill: number; readonly decode: number }): Work {
  const time = to - from;
  const scale = Math.min(1, time / (phaseSeconds.prefill + phaseSeconds.decode)) / time;
  const prefill: Load = { ...NO_LOAD, busy: phaseSeconds.prefill * scale, promptTokens: prefillTokens / time };
  const decode: Load = { ...NO_LOAD, busy: phaseSeconds.decode * scale, iterations: decodeSteps / time, decoded: decodeTokens / time };
  return { ran: plus(prefill, decode), prefill: prefill.busy > 0 ? prefill : undefined, decode: decode.busy > 0 ? decode : undefined, mixing: 'turns' };
}

/** Requests whose prompts were credited in the window, where its counters tell; those that ended are as many in the long run. */
const promptsOf = ({ prompts, requests }: WindowEvidence): number | undefined => prompts ?? (requests && Object.values(requests).reduce((sum, each) => sum + each, 0));

/** Over the time that they have in common. */
function sumOf(windows: readonly Counts[]): Counts {
  const [first, ...rest] = windows;
  if (!first) throw new Error('no window to sum');
  return rest.reduce((sum, each): Counts => {
    const share = (part: Counts): number => Math.min(1, (Math.min(sum.to, each.to) - Math.max(sum.from, each.from)) / (part.to - part.from));
    const from = instant(Math.max(sum.from, each.from));
    const to = instant(Math.min(sum.to, each.to));
    const of = (key: 'prefillTokens' | 'decodeTokens' | 'decodeSteps'): number => sum[key] * share(sum) + each[key] * share(each);
    const known = sum.sequenceSeconds !== undefined && each.sequenceSeconds !== undefined;
    return {
      from,
      to,
      prefillTokens: of('prefillTokens'),
      decodeTokens: of('decodeTokens'),
      decodeSteps: of('decodeSteps'),
      counted: sum.counted && each.counted,
      ...(known && { sequenceSeconds: (sum.sequenceSeconds ?? 0) * share(sum) + (each.sequenceSeconds ?? 0) * share(each) }),
      kvUsage: (sum.kvUsage * sum.ranks + each.kvUsage * each.ranks) / (sum.ranks + each.ranks),
      ranks: sum.ranks + each.ranks,
      wholly: sum.wholly || each.wholly,
      recomputes: sum.recomputes || each.recomputes,
    };
  }, first);
}
