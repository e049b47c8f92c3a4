import { seconds } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { decodeWork, demandOf, prefillWork } from './power-law.js';
import { Boards } from './power-board.js';
import { sumOf } from './power.js';
import { Random } from './random.js';
import { type Hardware, hardwareOf } from './scenario-hardware.js';
import type { Chunk, DecodeStep, Gpu } from './trace.js';
import { divide, TruthBook } from './truth.js';

const PLAIN = { tokens: 0, cost: 0 };
const hardware = (capWatts = 700): Hardware => hardwareOf({ hardware: 'h100-8b', board: { capWatts, spread: 0, leakageWattsPerKelvin: 0, regulatorLoss: 0 }, model: {} });
const boardsOf = ({ board }: Hardware, names: readonly string[] = ['GPU-0']): Boards => new Boards(board, names, new Random(1, 'boards'), () => 1);
const chunk = (request: number, tokens: number, contextBefore = 0): Chunk => ({ request, tokens, contextBefore, cached: 0, recomputed: 0, last: true });
const step = (request: number, context: number): DecodeStep => ({ request, tokens: 1, context });

const past = (context: number): number => divide(hardware(), boardsOf(hardware()), PLAIN, [], [step(0, context)]).pastOfDecode;

const power = (boards: Boards) => {
  const trace = sumOf('all', 0, boards.traces.map((part) => ({ trace: part, factor: 1 })));
  return { gpus: boards.traces, cpu: trace, server: trace };
};

describe('how an iteration is divided', () => {
  it('a pure one belongs to its phase', () => {
    expect(divide(hardware(), boardsOf(hardware()), PLAIN, [chunk(0, 100)], [])).toMatchObject({ prefill: 1, decode: 0 });
    expect(divide(hardware(), boardsOf(hardware()), PLAIN, [], [step(0, 100)])).toMatchObject({ prefill: 0, decode: 1 });
  });

  it('a mixed one by what each part would draw above loaded idle by itself', () => {
    const machine = hardware();
    const alone = [demandOf(machine, prefillWork(machine, [chunk(0, 600, 50)])).joules, demandOf(machine, decodeWork(machine, 2, 1100, PLAIN)).joules] as const;
    const division = divide(machine, boardsOf(machine), PLAIN, [chunk(0, 600, 50)], [step(1, 1000), step(2, 100)]);
    expect(division.prefill).toBeCloseTo(alone[0] / (alone[0] + alone[1]), 12);
    expect(division.prefill + division.decode).toBeCloseTo(1, 12);
  });

  it('by the power that the limit leaves, where one part meets it', () => {
    const machine = hardware(300);
    const boards = boardsOf(machine);
    const demand = demandOf(machine, prefillWork(machine, [chunk(0, 4096)]));
    const limited = (300 - machine.board.loadedIdleWatts) * boards.secondsFor(demand);
    expect(limited).toBeLessThan(demand.joules);
    const decode = boards.joulesAlone(demandOf(machine, decodeWork(machine, 1, 500, PLAIN)));
    expect(divide(machine, boards, PLAIN, [chunk(0, 4096)], [step(1, 500)]).prefill).toBeCloseTo(limited / (limited + decode), 12);
  });

  it('what reading the past costs grows with the past', () => {
    expect(past(1)).toBeLessThan(1e-4);
    expect(past(1000)).toBeGreaterThan(past(1));
    expect(past(100_000)).toBeGreaterThan(0.4);
  });
});

describe('the book', () => {
  const gpus: readonly Gpu[] = [0, 1].map((index) => ({ name: `GPU-${index}`, index, pool: 'serve', rank: 0 }));
  it('shares prefill energy by flops, decode energy evenly and by context, and loses nothing', () => {
    const machine = hardware();
    const boards = boardsOf(machine, ['GPU-0', 'GPU-1']);
    boards.idle(10);
    const book = new TruthBook(machine, 2);
    for (let id = 0; id < 5; id += 1) book.open(id);
    book.iteration(0, [60, 40], { prefill: 0.6, decode: 0.4, pastOfDecode: 0.25 }, [chunk(0, 100), chunk(1, 200)], [step(2, 3000), step(3, 1000)]);
    book.idle(0, [5, 6], 2);
    const truth = book.truth(10, gpus, power(boards));
    const per = new Map(truth.requests.map((request) => [request.id, request]));
    // 200 tokens have a little more than twice the flops of 100: attention.
    const ratio = (per.get(1)?.prefill ?? 0) / (per.get(0)?.prefill ?? 1);
    expect(ratio).toBeGreaterThan(2);
    expect(ratio).toBeLessThan(2.02);
    expect([per.get(2)?.decode, per.get(3)?.decode]).toEqual([expect.closeTo(15 + 7.5, 9), expect.closeTo(15 + 2.5, 9)]);
    expect(per.get(4)).toEqual({ id: 4, prefill: 0, decode: 0 });
    expect(truth).toMatchObject({ total: { prefill: 60, decode: 40, idle: 11 }, mixedShare: 1, iterations: 1, duration: 10 });
    expect(truth.idleShare).toBeCloseTo(11 / 111, 12);
    expect(truth.devices).toEqual([
      { device: 'GPU-0', joules: 65, idleSeconds: 2, prefill: 36, decode: 24, idle: 5 },
      { device: 'GPU-1', joules: 46, idleSeconds: 2, prefill: 24, decode: 16, idle: 6 },
    ]);
    expect(truth.cpu).toBeCloseTo(boards.traces.reduce((sum, trace) => sum + trace.joulesUntil(seconds(10)), 0), 9);
    const requested = truth.requests.reduce((sum, { prefill, decode }) => sum + prefill + decode, 0);
    expect(requested).toBeCloseTo(100, 9);
  });
});
