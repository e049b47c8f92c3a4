/**
 * The rounds of the bench `chaos`: two nodes send to one collector through a network with faults, and in each round something is
 * killed with SIGKILL, at once or twice, and started again.
 *
 *     nodes (spool) ──▶ proxy: cut, twice, stale, slow ──▶ collector ──▶ store
 *
 * After every round: what a node's cursor says is settled must be in the store, once. Whoever kills whom, of all batches below
 * the first that is open the sums are known. Every few rounds, and in the end, all is delivered and everything is compared.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Random } from '@joulebook/agent/simulate/random.js';
import { readCursor } from '@joulebook/agent/spool/cursor.js';
import { epochMicros } from '@joulebook/shared/units.js';
import { NOTHING, plus, type Totals } from '../support/fleet.js';
import { CELL_SECONDS, type Origin } from './chaos-generator.js';
import { collectorAt, senderAt, type Sender } from './chaos-processes.js';
import { NO_FAULTS, startProxy, type Faults, type Proxy } from './chaos-proxy.js';
import { excess, isNothing, most, reasonsAgainst, said, stored, Truth } from './chaos-truth.js';

const NODES = 2;
/** Facts are of the past: made faster than time passes, none may lie in the future. */
const BEGIN_BACK_SECONDS = 40 * 86_400;
const LONGEST_CUT_MS = 600;
const LONGEST_ABSENCE_MS = 400;

export interface Programs {
  readonly collector: string;
  readonly sender: string;
}
/** A store that is a process of its own. */
export interface StoreServer {
  readonly address: string;
  killAndRestart(): Promise<void>;
}
export interface ChaosOptions {
  readonly rounds: number;
  readonly seed: number;
  /** Everything is delivered and compared after so many rounds. */
  readonly drainEvery: number;
  /** How long the load of a round lasts at most. */
  readonly longestMs: number;
  /** Absent: the embedded store, which dies with its collector. */
  readonly server?: StoreServer;
  readonly programs: Programs;
  /** Aborted: the round that is under way is the last. */
  readonly stop?: AbortSignal;
  readonly print: (line: string) => void;
}

const VICTIMS = ['node', 'collector', 'collector and node', 'store', 'collector and store', 'collector, store and node'] as const;
type Victim = (typeof VICTIMS)[number];

export interface ChaosResult {
  readonly rounds: number;
  readonly compared: number;
  /** Comparisons in which anything differed, and the largest differences found in any of them. */
  readonly wrong: number;
  readonly lost: Totals;
  readonly double: Totals;
  /** What the nodes made, and what the store holds in the end. */
  readonly truth: Totals;
  readonly batches: number;
  readonly kills: Readonly<Record<Victim, number>>;
  readonly network: Proxy['counts'];
  /** A spool that gave out a number again, warnings of an agent, books that do not close. */
  readonly troubles: readonly string[];
}

function faultsOf(random: Random): Faults {
  const often = (share: number): number => (random.chance(share) ? random.between(0, 0.3) : 0);
  return { cut: often(0.5), twice: often(0.5), stale: often(0.3), slowMs: random.chance(0.3) ? random.between(0, 150) : 0 };
}

class Chaos {
  readonly #options: ChaosOptions;
  readonly #random: Random;
  readonly #proxy: Proxy;
  readonly #collector: ReturnType<typeof collectorAt>;
  readonly #nodes: readonly { readonly sender: Sender; readonly truth: Truth }[];
  readonly #victims: readonly Victim[];
  readonly kills: Record<Victim, number> = { node: 0, collector: 0, 'collector and node': 0, store: 0, 'collector and store': 0, 'collector, store and node': 0 };
  readonly troubles: string[] = [];
  compared = 0;
  wrong = 0;
  lost = NOTHING;
  double = NOTHING;

  constructor(options: ChaosOptions, folder: string, proxy: Proxy) {
    this.#options = options;
    this.#random = new Random(options.seed, 'rounds');
    this.#proxy = proxy;
    this.#collector = collectorAt(options.programs.collector, options.server?.address ?? join(folder, 'store.duckdb'));
    this.#victims = VICTIMS.filter((victim) => options.server !== undefined || !victim.includes('store'));
    const begin = epochMicros((Math.floor(Date.now() / 1000 / CELL_SECONDS) * CELL_SECONDS - BEGIN_BACK_SECONDS) * 1e6);
    this.#nodes = Array.from({ length: NODES }, (_, index) => {
      const origin: Origin = { seed: options.seed, node: `node-${index}`, begin };
      return { sender: senderAt(options.programs.sender, join(folder, origin.node), proxy.address, origin, (text) => this.#trouble(text)), truth: new Truth(origin) };
    });
  }

  #trouble(text: string): void {
    this.troubles.push(text);
    this.#options.print(`! ${text}`);
  }

  async begin(): Promise<void> {
    await this.#startCollector();
    await Promise.all(this.#nodes.map(({ sender }) => this.#startNode(sender)));
  }

  async #startCollector(): Promise<void> {
    await this.#collector.start();
    this.#proxy.target = this.#collector.address;
  }

  async #startNode(sender: Sender): Promise<void> {
    const { held, confirmed } = await sender.start();
    if (held < confirmed) this.#trouble(`${sender.origin.node}: its spool holds ${held} numbers after a kill, and had confirmed ${confirmed}`);
  }

  /** All of them at the same moment. */
  async #kill(victim: Victim): Promise<void> {
    this.kills[victim] += 1;
    const node = this.#nodes[Math.floor(this.#random.next() * NODES)]?.sender;
    const away = (): Promise<void> => sleep(this.#random.between(0, LONGEST_ABSENCE_MS));
    await Promise.all([
      ...(victim.includes('collector') ? [this.#collector.kill().then(away).then(() => this.#startCollector())] : []),
      ...(victim.includes('node') && node ? [node.kill().then(away).then(() => this.#startNode(node))] : []),
      ...(victim.includes('store') ? [this.#options.server?.killAndRestart()] : []),
    ]);
  }

  async round(round: number): Promise<void> {
    const random = this.#random;
    this.#proxy.faults = faultsOf(random);
    const load = random.between(this.#options.longestMs / 4, this.#options.longestMs);
    const victim = this.#victims[Math.floor(random.next() * this.#victims.length)] ?? 'collector';
    const moment = random.between(0, load);
    const cut = random.chance(0.2) ? sleep(random.between(0, load)).then(() => this.#proxy.down(random.between(0, LONGEST_CUT_MS))) : Promise.resolve();
    await sleep(moment);
    await this.#kill(victim);
    // It may have come back just now, with batches of its last life under way.
    if (random.chance(0.15)) await this.#kill(victim);
    await sleep(load - moment);
    await cut;
    for (const { sender, truth } of this.#nodes) {
      const settled = (await readCursor(sender.spoolFolder)).nextOpen(0);
      if (settled > 0) await this.#compare(`round ${round}: ${sender.origin.node} below ${settled}, after killing ${victim}`, truth.below(settled), sender.origin, settled);
    }
  }

  async #compare(where: string, truth: Totals, origin: Origin, below?: number): Promise<void> {
    const found = await stored(this.#collector.address, origin, below);
    this.compared += 1;
    const [lost, double] = [excess(truth, found), excess(found, truth)];
    if (isNothing(lost) && isNothing(double)) return;
    this.wrong += 1;
    this.lost = most(this.lost, lost);
    this.double = most(this.double, double);
    this.#options.print(`! seed ${this.#options.seed}, ${where}: lost ${said(lost)}; double ${said(double)}`);
  }

  /** @returns all that was made and has been compared */
  async drain(round: number): Promise<{ readonly batches: number; readonly truth: Totals }> {
    this.#proxy.faults = NO_FAULTS;
    let [batches, all] = [0, NOTHING];
    await Promise.all(this.#nodes.map(async ({ sender, truth }) => {
      // One that was refused for long waits for up to 10 s before it tries again; a new life begins at once.
      await sender.kill();
      await this.#startNode(sender);
      this.kills.node += 1;
      const { drained, lost } = await sender.drain();
      if (lost > 0) this.#trouble(`${sender.origin.node}: ${lost} batches stand in its loss account`);
      await this.#compare(`round ${round}: ${sender.origin.node}, all ${drained} delivered`, truth.below(drained), sender.origin);
      batches += drained;
      all = plus(all, truth.below(drained));
    }));
    return { batches, truth: all };
  }

  go(): void {
    for (const { sender } of this.#nodes) sender.go();
  }

  async verify(): Promise<void> {
    for (const reason of await reasonsAgainst(this.#collector.address)) this.#trouble(`verify: ${reason}`);
  }

  async end(): Promise<void> {
    await Promise.all([...this.#nodes.map(({ sender }) => sender.kill()), this.#collector.kill()]);
  }
}

export async function chaosRounds(options: ChaosOptions): Promise<ChaosResult> {
  const folder = await mkdtemp(join(tmpdir(), 'joulebook-chaos-'));
  const proxy = await startProxy(new Random(options.seed, 'network'));
  const chaos = new Chaos(options, folder, proxy);
  const begun = performance.now();
  let now: { readonly batches: number; readonly truth: Totals } = { batches: 0, truth: NOTHING };
  try {
    await chaos.begin();
    let round = 0;
    for (let last = false; !last; ) {
      round += 1;
      await chaos.round(round);
      last = round === options.rounds || options.stop?.aborted === true;
      if (!last && round % options.drainEvery !== 0) continue;
      now = await chaos.drain(round);
      options.print(`round ${String(round).padStart(4)}  ${((performance.now() - begun) / 1000).toFixed(0).padStart(4)} s  ${now.batches} batches, ${said(now.truth)}; cuts ${proxy.counts.cuts}, sent again ${proxy.counts.repeats}; lost ${said(chaos.lost)}; double ${said(chaos.double)}`);
      if (last) await chaos.verify();
      else chaos.go();
    }
    const { compared, wrong, lost, double, kills, troubles } = chaos;
    return { rounds: round, compared, wrong, lost, double, ...now, kills, network: proxy.counts, troubles };
  } finally {
    await chaos.end();
    await proxy.close();
    await rm(folder, { recursive: true });
  }
}
