import { describe, expect, it } from 'vitest';
import { chunk, iteration, request, step } from './engine-parts.testing.js';
import { engineState } from './engine-state.js';

describe('what an engine knows of its requests', () => {
  it('counts a prompt once and its first token once, however often it is computed again after a preemption', () => {
    const state = engineState('serve');
    const whole = state.step(iteration(0, 1, { prefill: [chunk(1, 100, { cached: 20 })], running: 1 }));
    expect([whole.computed, whole.generated, whole.context.tokens, whole.firstTokens.map(({ cached, computed }) => [cached, computed])]).toEqual([100, 1, 100, [[20, 100]]]);
    state.step(iteration(1, 2, { decode: [step(1)], running: 1 }));
    const again = state.step(iteration(2, 3, { prefill: [chunk(1, 102, { recomputed: 102 })], running: 1 }));
    expect([again.computed, again.generated, again.firstTokens, again.begun, again.context.tokens, again.again]).toEqual([0, 1, [], [], 0, { requests: 1, tokens: 102 }]);
    state.step(iteration(3, 4, { decode: [step(1)], running: 1 }));
    expect(state.over(request(1, 4))).toMatchObject({ cached: 20, computed: 100, output: 4, firstToken: 1, scheduled: 0 });
  });

  it('takes a request that was computed elsewhere by the KV that it came with', () => {
    const state = engineState('decode');
    const { firstTokens, generated } = state.step(iteration(5, 6, { pool: 'decode', decode: [step(7)], running: 1 }));
    expect([generated, firstTokens.map(({ received, computed }) => [received, computed])]).toEqual([2, [[100, 0]]]);
  });

  it('frees what those that end have held, and forgets in a prefill pool who was handed over', () => {
    const state = engineState('prefill');
    const done = iteration(0, 1, { pool: 'prefill', prefill: [chunk(1, 300), chunk(2, 100, { last: false })], running: 2, kvTokens: 400, ended: [1] });
    expect(state.step(done)).toMatchObject({ running: 1, kvTokens: 99, ended: [{ id: 1, output: 1 }] });
    expect(state.over(request(1, 1))).toBeUndefined();
    expect(state.over(request(2, 1))).toMatchObject({ computed: 100 });
  });
});
