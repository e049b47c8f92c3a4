/**
 * An LLM serving engine that never was: requests come, ranks run iterations, boards draw power, and the truth is booked.
 *
 *   arrivals ─▶ rank with the fewest requests ─▶ iteration ▷ power ▷ truth
 *                 prefill pool ── KV cache on its way ──▶ decode pool         (disaggregated)
 *
 * Whatever is due first is done first: an arrival, a KV cache that has come over, or the rank that can start soonest. So iterations
 * are told in the order in which they start.
 */
import { Arrivals } from './arrivals.js';
import { type Job, jobOf, requestOf } from './engine-job.js';
import { Rank, type RankPlace } from './engine-rank.js';
import { sumOf } from './power.js';
import { Random } from './random.js';
import type { Scenario } from './scenario.js';
import { hardwareOf } from './scenario-hardware.js';
import type { Happening, Iteration, Pool, Run, ServerPower, SimulatedRequest, Simulation } from './trace.js';
import { TruthBook } from './truth.js';

/** @throws UsageError when the scenario's hardware can't be */
export function run(scenario: Scenario): Run {
  const { engine, drift, seed, server } = scenario;
  const hardware = hardwareOf(scenario);
  const places = placesOf(scenario, hardware.model.tensorParallel);
  const gpus = places.flatMap((place) => place.gpus);
  const book = new TruthBook(hardware, gpus.length);
  const phase = new Random(seed, 'drift').between(0, 2 * Math.PI);
  const driftAt = (at: number): number => 1 + drift.share * Math.sin((2 * Math.PI * at) / drift.period + phase);
  const ranks = places.map((place) => new Rank(place, scenario, hardware, driftAt, book));

  const boards = ranks.flatMap((rank) => rank.boards.traces);
  const cpu = sumOf('CPU-0', server.cpuIdleWatts, ranks.map((rank) => ({ trace: rank.process, factor: 1 })));
  const behindSupply = [...boards, cpu].map((trace) => ({ trace, factor: 1 / server.efficiency }));
  const power: ServerPower = { gpus: boards, cpu, server: sumOf('server', server.otherWatts / server.efficiency, behindSupply) };

  const arrivals = new Arrivals(scenario);
  /** Requests whose KV cache is on its way to the decode pool, latest first. */
  let moving: { readonly at: number; readonly job: Job }[] = [];
  let requests = 0;

  const inPool = (pool: Pool): readonly Rank[] => ranks.filter((rank) => rank.place.pool === pool);
  const entrance = inPool(engine.disaggregated ? 'prefill' : 'serve');
  const exit = inPool('decode');
  const close = (job: Job, at: number, outcome: SimulatedRequest['outcome'], rank: Rank): Happening => {
    const request = requestOf(job, at, outcome, rank.place.rank);
    book.close(request);
    arrivals.ended(job.stream, at);
    return { kind: 'request', request };
  };

  function* happenings(): Generator<Happening, void, undefined> {
    for (;;) {
      const rank = ranks.reduce((soonest, other) => (other.startsAt < soonest.startsAt ? other : soonest));
      const startsAt = rank.startsAt;
      const arrivesAt = arrivals.next;
      const movedAt = moving.at(-1)?.at ?? Infinity;
      if (Math.min(startsAt, arrivesAt, movedAt) === Infinity) break;
      if (arrivesAt <= startsAt && arrivesAt <= movedAt) {
        const arrival = arrivals.take();
        if (!arrival) continue;
        const job = jobOf(requests, arrival, engine, hardware.model.kvTokens);
        requests += 1;
        book.open(job.id);
        leastBusy(entrance).add(job, arrival.at);
      } else if (movedAt <= startsAt) {
        const moved = moving.pop();
        if (moved) leastBusy(exit).add(moved.job, moved.at);
      } else {
        for (const other of ranks) if (other !== rank) other.idleBehind(startsAt);
        for (const job of rank.leave(startsAt)) yield close(job, startsAt, 'aborted', rank);
        if (rank.jobs === 0) continue;
        const { iteration, finished, handedOver } = rank.step();
        yield { kind: 'iteration', iteration };
        for (const job of finished) yield close(job, iteration.to, 'ok', rank);
        if (engine.disaggregated && handedOver.length > 0) {
          const { transferSeconds, transferBytesPerSecond } = engine.disaggregated;
          for (const job of handedOver) moving.push({ at: iteration.to + transferSeconds + (job.computed * hardware.model.kvBytesPerToken) / transferBytesPerSecond, job });
          moving = moving.toSorted((a, b) => b.at - a.at || b.job.id - a.job.id);
        }
      }
    }
    const end = Math.max(scenario.duration, ...ranks.map((rank) => rank.boards.until));
    for (const rank of ranks) rank.idle(end);
  }

  return { scenario, gpus, power, happenings: happenings(), truth: () => book.truth(power.cpu.until, gpus, power) };
}

/** Only the iterations, one by one: nothing is kept of those that have been taken. */
export function* iterations(scenario: Scenario): Generator<Iteration, void, undefined> {
  const { happenings, power } = run(scenario);
  for (const happening of happenings) {
    if (happening.kind !== 'iteration') continue;
    power.server.forget(power.server.until);
    yield happening.iteration;
  }
}

/** The whole run in memory. */
export function simulate(scenario: Scenario): Simulation {
  const running = run(scenario);
  const { gpus, power } = running;
  const all: Iteration[] = [];
  const requests: SimulatedRequest[] = [];
  for (const happening of running.happenings) {
    if (happening.kind === 'iteration') all.push(happening.iteration);
    else requests.push(happening.request);
  }
  return { scenario, gpus, iterations: all, requests: requests.toSorted((a, b) => a.id - b.id), power, truth: running.truth() };
}

/** GPUs are numbered through the pools: prefill first. */
function placesOf({ engine }: Scenario, tensorParallel: number): RankPlace[] {
  const pools: readonly (readonly [Pool, number])[] = engine.disaggregated
    ? [['prefill', engine.disaggregated.prefillRanks], ['decode', engine.disaggregated.decodeRanks]]
    : [['serve', engine.ranks]];
  const ranks = pools.flatMap(([pool, count]) => Array.from({ length: count }, (_, rank) => ({ pool, rank })));
  return ranks.map(({ pool, rank }, place) => ({
    pool,
    rank,
    gpus: Array.from({ length: tensorParallel }, (_, shard) => {
      const index = place * tensorParallel + shard;
      return { name: `GPU-${index}`, index, pool, rank };
    }),
  }));
}

const leastBusy = (ranks: readonly Rank[]): Rank => ranks.reduce((best, rank) => (rank.jobs < best.jobs ? rank : best));
