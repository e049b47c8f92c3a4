/** What the books of every device promise, whatever is measured, said, and when it is swept. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { slice as sliceSchema, type EnergySlice, type Phase, type Slice } from '@joulebook/shared/slice.js';
import { instant, microjoules, seconds, watts } from '@joulebook/shared/units.js';
import { attribution, type Attribution } from '../attribution/attribution.js';
import { pure } from '../attribution/split.js';
import { decodeOnly, plus, prefillOnly, type Stretch } from '../attribution/work.js';
import { countsOf, loadOf, requestOf, stepsOf, stretchOf, windowOf } from '../attribution/work.testing.js';
import type { Span } from '../sampler/integrator.js';
import { GPU_BOARD } from '../sources/power/sensors.js';
import type { Channel, Evidence } from '../sources/source.js';
import type { Owner } from './book.js';
import { correlator, type Correlator } from './correlator.js';
import { gpuBook } from './gpu-book.js';
import { gpuHistory } from './gpu-history.js';
import { slicer, type Slicer } from './slicer.js';

const END = 30;

/** One that can divide mixed work from the start. */
function experienced(): Attribution {
  const known = attribution();
  const lane = known.lane(0, 0);
  const prefill = loadOf({ busy: 1, iterations: 10, promptTokens: 10_000 });
  const decode = loadOf({ busy: 1, iterations: 40, decoded: 400 });
  for (let at = 0; at < 24; at += 4) {
    const both = { ran: { ...plus(prefill, decode), busy: 1 }, prefill, decode, mixing: 'iteration' as const };
    known.expect([stretchOf(at, at + 1, [prefillOnly(prefill)]), stretchOf(at + 1, at + 2, [decodeOnly(decode)]), stretchOf(at + 2, at + 3, [both]), stretchOf(at + 3, at + 4, [], { state: 'idle' })]);
    for (const [index, joules] of [500, 300, 600, 100].entries()) lane.drawn(instant(at + index), instant(at + index + 1), joules);
  }
  expect(known.ready()).toBe(true);
  return known;
}

/** Tells what lands in cells that were handed out. */
function watched(inner: Slicer, length: number): { readonly slices: Slicer; readonly lateFacts: string[]; close(until: number): Slice[] } {
  const lateFacts: string[] = [];
  let closed = -Infinity;
  return {
    lateFacts,
    slices: {
      ...inner,
      energy(at, fact) {
        if (inner.cellAt(at) < closed) lateFacts.push(`${fact.device} ${fact.phase} at ${at}`);
        inner.energy(at, fact);
      },
    },
    close(until) {
      closed = Math.max(closed, Math.floor(until / length + 1e-9));
      return inner.close(instant(until));
    },
  };
}

interface Drawn {
  readonly length: number;
  readonly gap: number;
  readonly microjoules: number;
  /** Parts of it that a faster channel saw. */
  readonly shape: readonly number[];
  readonly late: boolean;
}

const drawn = (length: number): fc.Arbitrary<Drawn> =>
  fc.record({
    length: fc.integer({ min: 10, max: length }).map((ms) => ms / 1_000),
    gap: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: 1, max: 4_000 }).map((ms) => ms / 1_000) }),
    microjoules: fc.oneof({ weight: 4, arbitrary: fc.nat(900_000_000) }, { weight: 1, arbitrary: fc.nat(3) }),
    shape: fc.array(fc.nat(1_000), { maxLength: 4 }),
    late: fc.boolean(),
  });

function spansOf(channel: Channel, all: readonly Drawn[]): { readonly span: Span; readonly late: boolean }[] {
  let at = 0;
  const spans: { span: Span; late: boolean }[] = [];
  for (const { length, gap, microjoules: energy, shape, late } of all) {
    const from = at + gap;
    const to = Math.min(END, from + length);
    if (to - from < 0.001) break;
    at = to;
    const whole = { channel, from: instant(from), to: instant(to), microjoules: microjoules(energy), variance: 1 };
    const step = (to - from) / shape.length;
    const pieces = shape.map((piece, index): Span => ({ channel, from: instant(from + index * step), to: instant(index === shape.length - 1 ? to : from + (index + 1) * step), microjoules: microjoules(piece), variance: 0 }));
    const ramp = { start: watts(energy % 700), end: watts(energy % 400) };
    spans.push({ span: pieces.length > 0 ? { ...whole, shape: pieces } : channel.measures === 'power' ? { ...whole, ramp } : whole, late });
  }
  return spans;
}

const moment = fc.integer({ min: -3_000, max: (END + 4) * 1_000 }).map((ms) => ms / 1_000);
const rank = fc.constantFrom(undefined, '0', '1');
/** Evidence of every kind, and in which sweep it is told. */
const evidence = (kinds: readonly ('request' | 'steps' | 'window' | 'idle' | 'hole' | 'whole')[]): fc.Arbitrary<{ readonly said: Evidence | 'whole'; readonly from: number; readonly to: number; readonly sweep: number }> => fc
  .record({ kind: fc.constantFrom(...kinds), times: fc.tuple(moment, moment, moment), input: fc.nat(4), output: fc.nat(4), rank, flag: fc.boolean(), sweep: fc.nat(8) })
  .map(({ kind, times, input, output, rank: which, flag, sweep }) => {
    const [from = 0, middle = 0, to = 0] = times.toSorted((a, b) => a - b);
    const of = which === undefined ? {} : { rank: which };
    const whichever = { from, to, sweep };
    if (kind === 'request') return { ...whichever, said: requestOf(from, middle, to, input * 100, output * 10) };
    if (kind === 'steps') return { ...whichever, said: stepsOf(from, to, input * 100, output, { timing: flag ? 'exact' : 'inferred', steps: 1 + output, ...of }) };
    if (kind === 'window') return { ...whichever, said: windowOf(from, to, { tokens: countsOf(input * 100, output * 10), running: input, busy: input, ...of, ...(flag && { credits: 'firstToken' }), ...(output === 3 && { phaseSeconds: { prefill: 1, decode: 2 } }) }) };
    if (kind === 'idle') return { ...whichever, said: { kind, from: instant(from), to: instant(to), ...of } };
    if (kind === 'hole') return { ...whichever, said: { kind, from: instant(from), to: instant(to), reason: 'r' } };
    return { ...whichever, said: 'whole' as const };
  });

const sensor = fc.record({ measures: fc.constantFrom('power', 'counter'), averagedOver: fc.constantFrom(0, 0.1, 1), delay: fc.constantFrom(0, 0.2) });

/** Lags that alignment might find, one after the other. */
const lags = fc.array(fc.integer({ min: -2_400, max: 2_400 }).map((ms) => ms / 1_000), { maxLength: 3 });

const sum = (slices: readonly EnergySlice[], key: 'microjoules' | 'seconds' | 'askedSeconds'): number => slices.reduce((total, each) => total + each[key], 0);

interface Story {
  readonly sensors: readonly { readonly measures: 'power' | 'counter'; readonly averagedOver: number; readonly delay: number }[];
  readonly gpus: readonly (readonly Drawn[])[];
  readonly server: readonly Drawn[];
  readonly said: readonly { readonly said: Evidence | 'whole'; readonly from: number; readonly to: number; readonly sweep: number }[];
  readonly sweeps: readonly number[];
  readonly found: readonly number[];
  readonly ready: boolean;
  readonly everywhere: boolean;
  readonly length: number;
}

const story = fc.record<Story>({
  sensors: fc.array(sensor, { minLength: 2, maxLength: 2 }),
  gpus: fc.array(fc.array(drawn(1_500), { maxLength: 40 }), { minLength: 2, maxLength: 2 }),
  server: fc.array(drawn(8_000), { maxLength: 20 }),
  // The more precise evidence outranks the rest, which would seldom be heard.
  said: fc.oneof(...([['window'], ['window', 'idle', 'hole'], ['window', 'steps'], ['request', 'whole'], ['request', 'steps', 'window', 'idle', 'hole', 'whole']] as const).map((kinds) => fc.array(evidence(kinds), { maxLength: 30 }))),
  sweeps: fc.array(fc.integer({ min: 0, max: END * 1_000 }).map((ms) => ms / 1_000), { maxLength: 8 }),
  found: lags,
  ready: fc.boolean(),
  everywhere: fc.boolean(),
  length: fc.constantFrom(1, 10),
});

/** @param mayBeLate some spans are told after their time was swept */
function tell({ sensors, gpus, server, said, sweeps, found, ready, everywhere, length }: Story, mayBeLate: boolean) {
  const inner = slicer({ length: seconds(length), window: { from: instant(0), to: instant(END) } });
  const { slices, lateFacts, close } = watched(inner, length);
  const known = ready ? experienced() : attribution();
  let asked = 0;
  const moving: Attribution = { ...known, lag: (stated) => (found.length === 0 ? known.lag(stated) : (found[Math.floor((asked++ / 40) % found.length)] ?? 0)) };
  const facts: Correlator = correlator({ deployments: [{ name: 'chat', devices: everywhere ? undefined : [0, 1] }, { name: 'other', devices: [1] }], window: { from: instant(0), to: instant(END) }, slicer: slices, attributions: new Map([['chat', moving]]) });
  const channels: Channel[] = [
    ...sensors.map(({ measures, averagedOver, delay }, index): Channel => ({ id: `gpu${index}`, device: `gpu${index}`, index, boundary: 'gpu', source: 'test', measures, sensor: { ...GPU_BOARD, averagedOver: seconds(averagedOver), delay: seconds(delay) } })),
    { id: 'server', device: 'server', boundary: 'server', source: 'test', measures: 'power', sensor: GPU_BOARD },
  ];
  const spans = channels.map((channel, index) => spansOf(channel, index < 2 ? (gpus[index] ?? []) : server));
  for (const channel of channels) facts.watch(channel);
  const next = channels.map(() => 0);
  const out: Slice[] = [];
  const ends = [...sweeps.toSorted((a, b) => a - b), END];
  for (const [sweep, end] of ends.entries()) {
    for (const each of said) {
      if (each.sweep % ends.length !== sweep) continue;
      if (each.said === 'whole') facts.whole('chat', instant(each.from), instant(each.to));
      else facts.evidence('chat', each.said, true);
    }
    for (const [index, all] of spans.entries()) {
      for (let entry = all[next[index] ?? 0]; entry && entry.span.from < end; entry = all[next[index] ?? 0]) {
        if (mayBeLate && entry.late && sweep < ends.length - 1 && entry.span.to > end - 2) break;
        facts.span(entry.span);
        next[index] = (next[index] ?? 0) + 1;
      }
    }
    out.push(...close(sweep < ends.length - 1 ? facts.advance(instant(end)) : 0));
  }
  facts.finish(instant(END));
  out.push(...inner.finish(instant(END)));
  return { out, lateFacts, energy: out.filter((each) => each.kind === 'energy'), spans: spans.map((all) => all.map(({ span }) => span)), devices: channels.map(({ device }) => device) };
}

describe('whatever is measured, said and swept', () => {
  it('books every µJ once, none negative, and asks for every moment of every device once', () => {
    fc.assert(
      fc.property(story, fc.boolean(), (told, mayBeLate) => {
        const { energy, spans, devices } = tell(told, mayBeLate);
        for (const [index, device] of devices.entries()) {
          const mine = energy.filter((each) => each.device === device);
          expect(sum(mine, 'microjoules')).toBe((spans[index] ?? []).reduce((total, span) => total + span.microjoules, 0));
          expect(sum(mine, 'askedSeconds')).toBeCloseTo(END, 6);
          expect(sum(mine, 'seconds')).toBeCloseTo((spans[index] ?? []).reduce((total, { from, to }) => total + to - from, 0), 6);
        }
        for (const each of energy) {
          expect(Math.min(each.microjoules, each.modelledMicrojoules, each.seconds, each.askedSeconds)).toBeGreaterThanOrEqual(0);
          expect(each.modelledMicrojoules).toBeLessThanOrEqual(each.microjoules);
          expect(sliceSchema.safeParse(each).error).toBeUndefined();
        }
      }),
      { numRuns: 100, interruptAfterTimeLimit: 10_000 },
    );
  });

  it('books into no cell that was handed out, and each cell is asked for whole, where nothing comes late', () => {
    fc.assert(
      fc.property(story, (told) => {
        const { energy, lateFacts, devices } = tell(told, false);
        expect(lateFacts).toEqual([]);
        for (const device of devices) {
          for (let cell = 0; cell < END / told.length; cell += 1) {
            const mine = energy.filter((each) => each.device === device && each.from === Math.round(cell * told.length * 1e6));
            expect(sum(mine, 'askedSeconds')).toBeCloseTo(told.length, 6);
          }
        }
      }),
      { numRuns: 100, interruptAfterTimeLimit: 10_000 },
    );
  });
});

const gpu: Channel = { id: 'gpu', device: 'gpu0', index: 0, boundary: 'gpu', source: 'test', measures: 'power', sensor: GPU_BOARD };
const server: Channel = { id: 'server', device: 'server', boundary: 'server', source: 'test', measures: 'power', sensor: GPU_BOARD };
const spanOf = (channel: Channel, from: number, to: number, energy: number): Span => ({ channel, from: instant(from), to: instant(to), microjoules: microjoules(energy), variance: 0 });

/** @param devices none: all there are */
function live(devices: readonly number[] = [0], to?: number) {
  const window = { from: instant(0), ...(to !== undefined && { to: instant(to) }) };
  const slices = slicer({ length: seconds(1), window });
  return { slices, facts: correlator({ deployments: [{ name: 'chat', devices: devices.length > 0 ? devices : undefined }], window, slicer: slices }) };
}
const joules = (slices: readonly Slice[], device = 'gpu0'): Partial<Record<Phase, number>> => {
  const sums: Partial<Record<Phase, number>> = {};
  for (const each of slices) if (each.kind === 'energy' && each.device === device && each.microjoules > 0) sums[each.phase] = (sums[each.phase] ?? 0) + each.microjoules / 1e6;
  return sums;
};

describe('a GPU', () => {
  // Its lane has no evidence, so that none reaches any moment: nothing is booked before the end, and no slice of the node is closed.
  it('that serves nobody is booked as time goes on', () => {
    const { facts } = live([7]);
    for (let at = 0; at < 20; at += 1) facts.span(spanOf(gpu, at, at + 1, 1e6));
    expect(facts.advance(instant(20))).toBeGreaterThan(15);
  });

  // The whole window is divided as one, whatever its pieces say.
  it('takes the phase of better evidence inside a window of counts', () => {
    const { facts, slices } = live([0], 10);
    for (let at = 0; at < 10; at += 1) facts.span(spanOf(gpu, at, at + 1, 100e6));
    facts.evidence('chat', windowOf(0, 10, { tokens: countsOf(0, 100), running: 1, busy: 1 }), true);
    facts.evidence('chat', requestOf(4, 6, 6, 500, 1), false);
    facts.finish(instant(10));
    expect(joules(slices.finish(instant(10)))).toEqual({ decode: 800, prefill: 200 });
  });

  it('is booked in a window of counts only once the window is over', () => {
    const { facts } = live();
    facts.watch(gpu);
    for (let at = 0; at < 20; at += 1) facts.span(spanOf(gpu, at, at + 1, 1e6));
    facts.evidence('chat', windowOf(0, 5, { tokens: countsOf(10, 10), running: 1, busy: 1 }), true);
    facts.evidence('chat', windowOf(5, 15, { tokens: countsOf(10, 10), running: 1, busy: 1 }), true);
    expect(facts.advance(instant(12))).toBe(5);
    expect(facts.advance(instant(16))).toBe(16);
  });

  it('has each µJ of a reading booked once where a window of counts ends inside it', () => {
    const { facts, slices } = live([0], 9);
    for (const from of [0, 3, 6]) facts.span(spanOf(gpu, from, from + 3, 3e6));
    facts.evidence('chat', windowOf(0, 4, { tokens: countsOf(10, 0), running: 1, busy: 1 }), true);
    facts.evidence('chat', windowOf(4, 9, { tokens: countsOf(0, 10), running: 1, busy: 1 }), true);
    for (const at of [2, 5, 8]) facts.advance(instant(at));
    facts.finish(instant(9));
    expect(joules(slices.finish(instant(9)))).toEqual({ prefill: 4, decode: 5 });
  });

  it('whose clock is early waits for evidence about what it shows', () => {
    const slices = slicer({ length: seconds(1), window: { from: instant(0) } });
    const early = { ...attribution(), lag: () => -1.5 };
    const facts = correlator({ deployments: [{ name: 'chat' }], window: { from: instant(0) }, slicer: slices, attributions: new Map([['chat', early]]) });
    for (let at = 0; at < 10; at += 0.5) facts.span(spanOf(gpu, at, at + 0.5, 1e6));
    facts.evidence('chat', requestOf(0, 0, 10, 1, 1), false);
    expect(facts.advance(instant(8))).toBe(6.5);
  });

  it('has its evidence looked up as late as its sensor shows it', () => {
    const late: Channel = { ...gpu, sensor: { ...GPU_BOARD, averagedOver: seconds(1), delay: seconds(0.5) } };
    const { facts, slices } = live([0], 10);
    for (let at = 0; at < 10; at += 0.5) facts.span(spanOf(late, at, at + 0.5, 50e6));
    facts.evidence('chat', requestOf(0, 3, 12, 10, 10), false);
    facts.finish(instant(10));
    // The first token at 3 s shows at 3 s + 0.5 s + half of the averaging time; before 1 s it shows what was before the request.
    expect(joules(slices.finish(instant(10)))).toEqual({ unknown: 100, prefill: 300, decode: 600 });
  });
});

it('of power that does not go with the work, every phase is in doubt as a whole', () => {
  const odd = { ...attribution(), unrelated: () => true, lag: () => 0 };
  const owner: Owner = { name: 'chat', subject: () => ({ deployment: 'chat' }) };
  const slices = slicer({ length: seconds(1), window: { from: instant(0) } });
  const book = gpuBook({ channel: gpu, owners: () => [owner], attributionOf: () => odd, slicer: slices, history: gpuHistory(), begin: instant(0) });
  book.span(spanOf(gpu, 0, 1, 50e6));
  book.sweep(instant(1), new Map([[owner, [stretchOf(0, 1, [decodeOnly()])]]]), true);
  const facts = slices.finish(instant(1));
  expect(facts.flatMap((each) => (each.kind === 'energy' ? [[each.phase, each.microjoules, each.divisionMicrojoules]] : []))).toEqual([['decode', 50e6, 50e6]]);
  expect(facts.flatMap((each) => (each.kind === 'flag' ? [each.code] : []))).toContain('POWER_UNRELATED');
});

describe('readings that stop', () => {
  const ready = { ...attribution(), ready: () => true, error: () => 0, lag: () => 0, lane: () => ({ drawn: () => undefined, divide: (pieces: readonly { from: number; to: number }[]) => pieces.map(({ from, to }) => ({ shares: pure('decode'), weight: to - from })) }) };
  const owner: Owner = { name: 'chat', subject: () => ({ deployment: 'chat' }) };
  const decode = (from: number, to: number): ReadonlyMap<Owner, readonly Stretch[]> => new Map([[owner, [stretchOf(from, to, [decodeOnly()])]]]);
  const bookOf = () => {
    const slices = slicer({ length: seconds(1), window: { from: instant(0) } });
    return { slices, book: gpuBook({ channel: gpu, owners: () => [owner], attributionOf: () => ready, slicer: slices, history: gpuHistory(), begin: instant(0) }) };
  };

  // The last reading before the gap waits for another to be divided with, however long that takes.
  it('hold nothing up for longer than a group of readings', () => {
    const { book } = bookOf();
    book.span(spanOf(gpu, 0, 0.5, 50e6));
    book.sweep(instant(100), decode(0, 100), false);
    expect(book.bookedUntil()).toBeGreaterThan(90);
  });

  // A group reaches over the gap, and what a model expects of the gap takes energy that was measured beside it.
  it('leave no energy in the time that was not seen', () => {
    const { book, slices } = bookOf();
    book.span(spanOf(gpu, 0, 0.5, 50e6));
    for (let at = 60; at < 65; at += 0.5) book.span(spanOf(gpu, at, at + 0.5, 50e6));
    book.sweep(instant(65), decode(0, 65), true);
    const unseen = slices.finish(instant(65)).filter((each) => each.kind === 'energy' && each.microjoules > 0 && each.seconds === 0);
    expect(unseen).toEqual([]);
  });
});

describe('a wider boundary', () => {
  it('waits for the GPUs in it, and takes what they were at', () => {
    const { facts, slices } = live();
    for (const channel of [gpu, server]) facts.watch(channel);
    for (let at = 0; at < 10; at += 1) for (const channel of [gpu, server]) facts.span(spanOf(channel, at, at + 1, channel === gpu ? 1e6 : 3e6));
    facts.evidence('chat', windowOf(0, 8, { tokens: countsOf(0, 10), running: 1, busy: 1 }), true);
    expect(facts.advance(instant(7))).toBe(0);
    expect(facts.advance(instant(10))).toBe(10);
    expect(joules(slices.close(instant(10)), 'server')).toEqual({ decode: 24, unknown: 6 });
  });

  it('books as unknown what comes after its time, and asks for it once', () => {
    const { facts, slices } = live([], 10);
    facts.watch(server);
    facts.evidence('chat', requestOf(0, 0, 10, 1, 1), false);
    facts.advance(instant(4));
    facts.span(spanOf(server, 0, 8, 8e6));
    facts.finish(instant(10));
    const all = slices.finish(instant(10));
    expect(joules(all, 'server')).toEqual({ unknown: 4, decode: 4 });
    expect(sum(all.filter((each) => each.kind === 'energy'), 'askedSeconds')).toBeCloseTo(10, 9);
  });
});

describe('finish', () => {
  it('books all there is, also what would be waited for', () => {
    const { facts, slices } = live();
    for (const channel of [gpu, server]) facts.watch(channel);
    for (let at = 0; at < 10; at += 1) for (const channel of [gpu, server]) facts.span(spanOf(channel, at, at + 1, 1e6));
    facts.evidence('chat', windowOf(0, 20, { tokens: countsOf(0, 10), running: 1, busy: 1 }), true);
    facts.advance(instant(9));
    facts.finish(instant(10));
    const all = slices.finish(instant(10));
    expect([joules(all), joules(all, 'server')]).toEqual([{ decode: 10 }, { decode: 10 }]);
  });
});
