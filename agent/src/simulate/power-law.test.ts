import { describe, expect, it } from 'vitest';
import { decodeWork, demandOf, NO_WORK, prefillWork, together } from './power-law.js';
import { hardwareOf, presetNames } from './scenario-hardware.js';

const PLAIN = { tokens: 0, cost: 0 };
const hardware = hardwareOf({ hardware: 'h100-8b', board: {}, model: {} });
const prefill = (tokens: number, contextBefore = 0) => demandOf(hardware, prefillWork(hardware, [{ tokens, contextBefore }]));
const decode = (sequences: number, contextEach: number) => demandOf(hardware, decodeWork(hardware, sequences, sequences * contextEach, PLAIN));

const energy = (tokens: number, sequences: number): number => {
  const work = together(prefillWork(hardware, tokens > 0 ? [{ tokens, contextBefore: 0 }] : []), decodeWork(hardware, sequences, sequences * 1000, PLAIN));
  const { seconds, joules } = demandOf(hardware, work);
  return joules + seconds * hardware.board.loadedIdleWatts;
};

describe('the law of time and energy', () => {
  it('a prompt token costs less in a longer chunk', () => {
    const each = [64, 256, 1024, 4096].map((tokens) => prefill(tokens).joules / tokens);
    expect(each).toEqual(each.toSorted((a, b) => b - a));
    expect((each[0] ?? 0) / (each[3] ?? 1)).toBeGreaterThan(1.5);
  });

  it('the same chunk costs more behind a longer context', () => {
    expect(prefill(1024, 16_384).joules).toBeGreaterThan(1.2 * prefill(1024).joules);
    expect(prefill(1024, 16_384).seconds).toBeGreaterThan(1.2 * prefill(1024).seconds);
  });

  it('an output token costs less in a larger batch, and more with more context', () => {
    const each = [1, 4, 16, 64, 256].map((sequences) => decode(sequences, 500).joules / sequences);
    expect(each).toEqual(each.toSorted((a, b) => b - a));
    expect((each[0] ?? 0) / (each[4] ?? 1)).toBeGreaterThan(20);
    expect(decode(64, 4000).joules).toBeGreaterThan(2 * decode(64, 100).joules);
  });

  it('the weights are read once, whoever is in the batch', () => {
    const both = together(prefillWork(hardware, [{ tokens: 100, contextBefore: 0 }]), decodeWork(hardware, 10, 5000, PLAIN));
    expect(both.passes).toBe(1);
    expect(demandOf(hardware, both).joules).toBeLessThan(prefill(100).joules + decode(10, 500).joules);
    expect(together(NO_WORK, both)).toEqual(both);
  });

  it('is not reproduced by a line through tokens and steps', () => {
    // Of any such line, whole − parts is minus the constant of a step, whatever the parts are.
    const constant = (tokens: number, sequences: number): number => energy(tokens, 0) + energy(0, sequences) - energy(tokens, sequences);
    expect(constant(512, 128)).toBeGreaterThan(constant(64, 8) + 0.04 * energy(512, 128));
    // Attention: one more token costs more in a long prompt. And the line through two middling chunks misses a short one.
    const marginal = (low: number, high: number): number => (energy(high, 0) - energy(low, 0)) / (high - low);
    expect(marginal(8192, 16_384) / marginal(1024, 2048)).toBeGreaterThan(1.1);
    expect(Math.abs((energy(512, 0) - marginal(512, 2048) * (512 - 32)) / energy(32, 0) - 1)).toBeGreaterThan(0.05);
  });

  it('speculation verifies all drafted tokens and pays for drafting', () => {
    const drafting = decodeWork(hardware, 8, 4000, { tokens: 3, cost: 0.05 });
    const plain = decodeWork(hardware, 8, 4000, PLAIN);
    expect(drafting.tokens).toBe(4 * plain.tokens);
    expect(drafting.passes).toBeCloseTo(1.15, 12);
    expect(demandOf(hardware, drafting).joules).toBeGreaterThan(1.1 * demandOf(hardware, plain).joules);
    expect(demandOf(hardware, drafting).joules).toBeLessThan(2 * demandOf(hardware, plain).joules);
  });

  it('GPUs that share a model share its work', () => {
    const four = hardwareOf({ hardware: 'h100-70b-tp4', board: {}, model: {} });
    const work = prefillWork(four, [{ tokens: 4096, contextBefore: 0 }]);
    const one = demandOf({ ...four, model: { ...four.model, tensorParallel: 1 } }, work);
    expect(one.joules / demandOf(four, work).joules).toBeGreaterThan(3);
    expect(one.seconds / demandOf(four, work).seconds).toBeGreaterThan(2.5);
  });
});

describe('every preset is a machine that one could meet', () => {
  it.each(presetNames.options)('%s', (name) => {
    const machine = hardwareOf({ hardware: name, board: {}, model: {} });
    const wattsOf = ({ joules, seconds }: { joules: number; seconds: number }): number => machine.board.loadedIdleWatts + joules / seconds;
    const chunk = demandOf(machine, prefillWork(machine, [{ tokens: 4096, contextBefore: 0 }]));
    const step = demandOf(machine, decodeWork(machine, 16, 16 * 800, PLAIN));
    const { capWatts } = machine.board;
    expect(wattsOf(chunk) / capWatts, 'prefill draws').toBeGreaterThan(0.7);
    expect(wattsOf(chunk) / capWatts, 'prefill draws').toBeLessThan(1.1);
    expect(wattsOf(step) / capWatts, 'decode draws').toBeGreaterThan(0.4);
    expect(wattsOf(step) / capWatts, 'decode draws').toBeLessThan(0.8);
    expect(step.seconds, 'decode step').toBeGreaterThan(0.007);
    expect(step.seconds, 'decode step').toBeLessThan(0.04);
    expect(4096 / chunk.seconds, 'prompt tokens per second').toBeGreaterThan(3000);
    expect(4096 / chunk.seconds, 'prompt tokens per second').toBeLessThan(40_000);
    expect(chunk.computeShare).toBeGreaterThan(0.8);
    expect(step.computeShare).toBeLessThan(0.5);
  });
});
