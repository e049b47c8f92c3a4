import { describe, expect, it } from 'vitest';
import { scenarioSchema } from './scenario.js';
import { hardwareOf, PRESETS, presetNames } from './scenario-hardware.js';

describe('a scenario', () => {
  it('needs nothing to be said', () => {
    const scenario = scenarioSchema.parse({});
    expect(scenario).toMatchObject({ seed: 1, duration: 600, hardware: 'h100-8b', engine: { batching: 'chunked', ranks: 1 }, pauses: [{ from: 0, to: 4 }, { from: 300, to: 330 }] });
    expect(scenario.traffic).toHaveLength(2);
  });

  it.each([
    ['an unknown field', { hardwear: 'x' }, ''],
    ['an unknown preset', { hardware: 'z80' }, 'hardware'],
    ['a run without time', { duration: 0 }, 'duration'],
    ['no traffic', { traffic: [] }, 'traffic'],
    ['a ramp that goes back in time', { traffic: [{ arrivals: { kind: 'ramp', points: [{ at: 0, perSecond: 1 }, { at: 9, perSecond: 1 }, { at: 5, perSecond: 1 }] } }] }, 'traffic.0.arrivals.points'],
    ['a ramp without arrivals', { traffic: [{ arrivals: { kind: 'ramp', points: [{ at: 0, perSecond: 0 }, { at: 9, perSecond: 0 }] } }] }, 'traffic.0.arrivals.points'],
    ['a pause that ends before it begins', { pauses: [{ from: 5, to: 5 }] }, 'pauses.0'],
    ['a budget too small for one drafted step', { engine: { maxBatchedTokens: 3, speculative: { tokens: 3 } } }, 'engine.maxBatchedTokens'],
    ['a share above 1', { traffic: [{ aborts: 2 }] }, 'traffic.0.aborts'],
    ['a board value that is none', { board: { capWatts: -1 } }, 'board.capWatts'],
  ])('names the field: %s', (_, input, field) => {
    const result = scenarioSchema.safeParse(input);
    expect(result.success).toBe(false);
    expect(result.error?.issues.map(({ path }) => path.join('.'))).toEqual([field]);
  });
});

describe('hardware', () => {
  it('is the preset, but for what the scenario says', () => {
    const hardware = hardwareOf(scenarioSchema.parse({ hardware: 'a100-13b', board: { capWatts: 300 }, model: { kvTokens: 9000 } }));
    expect(hardware.board).toEqual({ ...PRESETS['a100-13b'].board, capWatts: 300 });
    expect(hardware.model).toEqual({ ...PRESETS['a100-13b'].model, kvTokens: 9000 });
  });

  it('refuses a board that could not work', () => {
    expect(() => hardwareOf(scenarioSchema.parse({ board: { capWatts: 110 } }))).toThrow('board.capWatts');
    expect(() => hardwareOf(scenarioSchema.parse({ board: { idleWatts: 200 } }))).toThrow('board.idleWatts');
  });

  it('has a name for every preset', () => {
    expect(presetNames.options).toEqual(Object.keys(PRESETS));
  });
});
