import { describe, expect, it } from 'vitest';
import { type Job, jobOf } from './engine-job.js';
import { type Plan, Scheduler } from './engine-scheduler.js';
import { Random } from './random.js';
import { type EngineOptions, scenarioSchema } from './scenario.js';

const engineOf = (options: object): EngineOptions => scenarioSchema.parse({ engine: options }).engine;

interface Asked {
  readonly prompt: number;
  readonly output: number;
  readonly cachedPart?: number;
  readonly leaves?: { readonly after: 'seconds' | 'part'; readonly value: number };
}

/** A scheduler with these requests waiting. */
function waiting(options: object, kvTokens: number, asked: readonly Asked[], handsOver = false): { scheduler: Scheduler; jobs: Job[] } {
  const engine = engineOf(options);
  const scheduler = new Scheduler(engine, kvTokens, new Random(1, 'accepted'), handsOver);
  const jobs = asked.map(({ prompt, output, cachedPart = 0, leaves }, id) => jobOf(id, { at: 0, stream: 0, inputTokens: prompt, outputTokens: output, cachedPart, ...(leaves && { leaves }) }, engine, kvTokens));
  for (const job of jobs) scheduler.add(job);
  return { scheduler, jobs };
}

/** `0:100+ 1:28` prompts (plus: complete), `| 2 3` decodes. */
const drawn = ({ prefill, decode }: Plan): string => [...prefill.map(({ request, tokens, last }) => `${request}:${tokens}${last ? '+' : ''}`), '|', ...decode.map(({ request }) => String(request))].join(' ');

function plans(scheduler: Scheduler, count: number): string[] {
  return Array.from({ length: count }, (_, index) => {
    const plan = scheduler.plan(index);
    scheduler.finish(index + 1);
    return drawn(plan);
  });
}

describe('chunked batching', () => {
  it('serves decodes first and fills the budget with chunks', () => {
    const { scheduler } = waiting({ maxBatchedTokens: 128 }, 10_000, [{ prompt: 50, output: 9 }, { prompt: 300, output: 2 }, { prompt: 20, output: 2 }]);
    expect(plans(scheduler, 5)).toEqual(['0:50+ 1:78 |', '1:127 | 0', '1:95+ 2:20+ | 0', '| 0 1 2', '| 0']);
  });

  it('takes no more sequences than allowed', () => {
    const { scheduler } = waiting({ maxSequences: 2 }, 10_000, [{ prompt: 5, output: 2 }, { prompt: 5, output: 3 }, { prompt: 5, output: 1 }]);
    const first = scheduler.plan(0);
    expect([first.running, first.waiting]).toEqual([2, 1]);
    scheduler.finish(1);
    expect(plans(scheduler, 2)).toEqual(['| 0 1', '2:5+ | 1']);
  });

  it('starts behind what the prefix cache has', () => {
    const { scheduler, jobs } = waiting({}, 10_000, [{ prompt: 100, output: 1, cachedPart: 0.5 }]);
    expect(scheduler.plan(3).prefill).toEqual([{ request: 0, tokens: 52, contextBefore: 48, cached: 48, recomputed: 0, last: true }]);
    expect(scheduler.finish(4).finished).toEqual(jobs);
    expect(jobs[0]).toMatchObject({ scheduled: 3, firstToken: 4, generated: 1, reached: 100 });
  });

  it('preempts the youngest when the cache is full, and computes prompt and output again', () => {
    const { scheduler, jobs } = waiting({ blockTokens: 10 }, 60, [{ prompt: 20, output: 30 }, { prompt: 30, output: 20 }]);
    const seen = plans(scheduler, 3);
    // Blocks: 2 + 3, and each needs one more for its first decode step: the second one has to go.
    expect(seen).toEqual(['0:20+ 1:30+ |', '| 0', '| 0']);
    expect(jobs[1]).toMatchObject({ preempted: 1, computed: 0, needed: 31, generated: 1 });
    while (jobs[0] && jobs[0].generated < 30) plans(scheduler, 1);
    const resumed = scheduler.plan(99);
    expect(resumed.prefill).toEqual([{ request: 1, tokens: 31, contextBefore: 0, cached: 0, recomputed: 31, last: true }]);
    scheduler.finish(100);
    expect(jobs[1]).toMatchObject({ generated: 2, firstToken: 1, recomputed: 31, reached: 30 });
    while (scheduler.jobs > 0) plans(scheduler, 1);
    expect(jobs[1]?.generated).toBe(20);
  });

  it('does not let a sequence back in with the step that pushed it out', () => {
    const { scheduler } = waiting({ blockTokens: 10, maxBatchedTokens: 25 }, 60, [{ prompt: 20, output: 30 }, { prompt: 30, output: 20 }]);
    expect(plans(scheduler, 5)).toEqual(['0:20+ 1:5 |', '1:24 | 0', '1:1+ | 0', '| 0', '1:24 | 0']);
  });

  it('gives all room back', () => {
    const { scheduler } = waiting({ blockTokens: 16 }, 160, Array.from({ length: 40 }, () => ({ prompt: 60, output: 40 })));
    for (let round = 0; scheduler.jobs > 0; round += 1) {
      expect(round).toBeLessThan(5000);
      plans(scheduler, 1);
    }
    const engine = engineOf({});
    const whole = jobOf(99, { at: 0, stream: 0, inputTokens: 1000, outputTokens: 1000, cachedPart: 0 }, engine, 160);
    expect(whole).toMatchObject({ inputTokens: 159, outputTokens: 1 });
    scheduler.add(whole);
    expect(plans(scheduler, 1)).toEqual(['99:159+ |']);
  });
});

describe('prompts first', () => {
  it('runs pure iterations, prompts before decodes', () => {
    const { scheduler } = waiting({ batching: 'prefillFirst', maxBatchedTokens: 128 }, 10_000, [{ prompt: 50, output: 3 }, { prompt: 300, output: 3 }]);
    expect(plans(scheduler, 4)).toEqual(['0:50+ 1:78 |', '1:128 |', '1:94+ |', '| 0 1']);
    scheduler.add(jobOf(2, { at: 4, stream: 0, inputTokens: 50, outputTokens: 3, cachedPart: 0 }, engineOf({}), 10_000));
    expect(plans(scheduler, 2)).toEqual(['2:50+ |', '| 0 1 2']);
  });

  it('takes a prompt only when all of it fits beside what the running ones will need', () => {
    const { scheduler } = waiting({ batching: 'prefillFirst', blockTokens: 10 }, 200, [{ prompt: 100, output: 3 }, { prompt: 70, output: 3 }]);
    expect(plans(scheduler, 4)).toEqual(['0:100+ |', '| 0', '| 0', '1:70+ |']);
  });
});

describe('speculative decoding', () => {
  it.each([[0, 1], [1, 4]])('with acceptance %d a step gives %d', (acceptance, tokens) => {
    const { scheduler } = waiting({ speculative: { tokens: 3, acceptance } }, 10_000, [{ prompt: 10, output: 100 }]);
    plans(scheduler, 1);
    expect(scheduler.plan(1).decode).toEqual([{ request: 0, tokens, context: 11 }]);
  });

  it('gives between one token and all, in the mean what acceptance says, and never more than asked', () => {
    const { scheduler, jobs } = waiting({ speculative: { tokens: 3, acceptance: 0.7 } }, 100_000, [{ prompt: 10, output: 20_000 }]);
    plans(scheduler, 1);
    let steps = 0;
    while (scheduler.jobs > 0) {
      plans(scheduler, 1);
      steps += 1;
    }
    expect(jobs[0]?.generated).toBe(20_000);
    expect(Math.abs(19_999 / steps / (1 + 0.7 + 0.49 + 0.343) - 1)).toBeLessThan(0.02);
  });
});

describe('requests that do not stay', () => {
  it('go before the next iteration, running or waiting', () => {
    const leaves = { after: 'seconds', value: 1.5 } as const;
    const { scheduler, jobs } = waiting({ maxSequences: 1 }, 1000, [{ prompt: 10, output: 10, leaves }, { prompt: 10, output: 10, leaves }, { prompt: 10, output: 10 }]);
    plans(scheduler, 1);
    expect(scheduler.leave(1)).toEqual([]);
    expect(scheduler.leave(2)).toEqual(jobs.slice(0, 2));
    expect(plans(scheduler, 1)).toEqual(['2:10+ |']);
    while (scheduler.jobs > 0) plans(scheduler, 1);
    // Only with the blocks of those that left is there room for this one.
    scheduler.add(jobOf(3, { at: 2, stream: 0, inputTokens: 980, outputTokens: 1, cachedPart: 0 }, engineOf({}), 1000));
    expect(plans(scheduler, 1)).toEqual(['3:980+ |']);
  });

  it('or when they have seen enough', () => {
    const { scheduler, jobs } = waiting({}, 1000, [{ prompt: 10, output: 10, leaves: { after: 'part', value: 0.35 } }]);
    plans(scheduler, 2);
    expect(scheduler.leave(2)).toEqual([]);
    plans(scheduler, 1);
    expect(scheduler.leave(3)).toEqual(jobs);
  });

  it('hand over to another pool after their first token, unless that was all', () => {
    const { scheduler, jobs } = waiting({}, 1000, [{ prompt: 10, output: 10 }, { prompt: 10, output: 1 }], true);
    scheduler.plan(0);
    expect(scheduler.finish(1)).toMatchObject({ handedOver: [jobs[0]], finished: [jobs[1]], kvTokens: 20 });
    expect(scheduler.jobs).toBe(0);
  });

  it('decode at once where they come with their context', () => {
    const { scheduler, jobs } = waiting({}, 1000, [{ prompt: 10, output: 10 }]);
    for (const job of jobs) Object.assign(job, { computed: 10, generated: 1 });
    expect(drawn(scheduler.plan(0))).toBe('| 0');
  });
});
