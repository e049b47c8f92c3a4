/**
 * A model of the spool in memory, and the spool beside it: random appends, sendings that end in any order, a quota, restarts, and crashes: killed
 * at rest, killed in the middle of a call, power cut off what was not synced. After each crash every fact must be in exactly
 * one place: still to be sent, acknowledged, or in the loss account.
 */
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeBatch, SCHEMA_VERSION } from '@joulebook/shared/batch.js';
import { epochMicros, microjoules, seconds } from '@joulebook/shared/units.js';
import * as fc from 'fast-check';
import type { Loss } from './losses.js';
import { openSpool, type Spool, type SpoolOptions } from './spool.js';

export const SEGMENT_BYTES = 1000;
export const QUOTA_BYTES = 3000;
const HEADER_BYTES = 8;
/** The disk's own speed is not what this is about. */
const FAST = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

interface Fact {
  readonly position: number;
  readonly payload: string;
  readonly name: string;
  readonly energy: bigint;
  /** Of a batch that tells of losses. */
  readonly tells?: { readonly batches: number; readonly energy: bigint; readonly tooOld: { readonly batches: number; readonly energy: bigint } };
  state: 'pending' | 'acknowledged' | 'lost';
  /** A power cut does not take it away. */
  durable: boolean;
}

const energyOf = (losses: readonly Loss[]): bigint => losses.reduce((sum, { microjoules: by }) => sum + (by.gpu ?? 0n), 0n);
const batchesOf = (losses: readonly Loss[]): number => losses.reduce((sum, { batches }) => sum + batches, 0);
const amounts = (losses: readonly Loss[]): { batches: number; energy: bigint } => ({ batches: batchesOf(losses), energy: energyOf(losses) });

function batch(stream: string, sequence: number, energy: bigint, size: number): string {
  const from = 1_800_000_000_000_000 + sequence * 10_000_000;
  const slice = { kind: 'energy' as const, from: epochMicros(from), to: epochMicros(from + 10_000_000), device: 'g'.repeat(size), boundary: 'gpu' as const, phase: 'idle' as const, microjoules: microjoules(Number(energy)), modelledMicrojoules: microjoules(0), seconds: seconds(10), askedSeconds: seconds(10), source: 's', method: 'counter' as const };
  return encodeBatch({ schema: SCHEMA_VERSION, stream, sequence, node: 'n', slices: [slice] });
}

const step = fc.oneof(
  { weight: 16, arbitrary: fc.record({ do: fc.constant('append' as const), size: fc.integer({ min: 1, max: 300 }) }) },
  { weight: 13, arbitrary: fc.record({ do: fc.constant('take' as const), end: fc.constantFrom('old' as const, 'new' as const) }) },
  { weight: 11, arbitrary: fc.record({ do: fc.constant('acknowledge' as const), which: fc.nat(9) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('release' as const), which: fc.nat(9) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('refuse' as const), which: fc.nat(9) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('tell' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('renew' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('cut' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
/** Killed so many turns of the event loop after the call began. */
export const steps = fc.array(fc.tuple(step, fc.oneof({ weight: 24, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.nat(12) })), { minLength: 50, maxLength: 50 });

export class Run {
  readonly facts = new Map<number, Fact>();
  readonly held: number[] = [];
  /** Told to the collector, or given up with a flag that it refused twice. */
  told = new Set<string>();
  out = { batches: 0, energy: 0n };
  where = mkdtempSync(join(FAST, 'spool-model-'));
  made = 0;

  private constructor(readonly options: SpoolOptions, public spool: Spool) {}

  static async begin(options: SpoolOptions): Promise<Run> {
    const where = mkdtempSync(join(FAST, 'spool-model-'));
    const run = new Run(options, await openSpool(where, options));
    rmSync(run.where, { recursive: true });
    run.where = where;
    return run;
  }

  async do(now: Step): Promise<void> {
    const which = 'which' in now ? this.held[now.which % Math.max(1, this.held.length)] : undefined;
    if (now.do === 'append') await this.append((sequence, stream) => ({ payload: batch(stream, sequence, BigInt((this.made += 1)) ** 2n, now.size), energy: BigInt(this.made) ** 2n }));
    else if (now.do === 'tell') await this.tell();
    else if (now.do === 'renew') await this.spool.renewStream();
    else if (now.do === 'take') await this.take(now.end);
    else if (which === undefined) return;
    else if (now.do === 'release') this.letGo(which).release(which);
    else if (now.do === 'acknowledge') {
      await this.letGo(which).acknowledge(which);
      this.acknowledged(which);
    } else if (now.do === 'refuse') {
      await this.letGo(which).refuse(which, Buffer.from(this.facts.get(which)?.payload ?? ''));
      this.refused(which);
    }
  }

  private letGo(position: number): Spool {
    this.held.splice(this.held.indexOf(position), 1);
    return this.spool;
  }

  private async append(make: (sequence: number, stream: string) => Pick<Fact, 'payload' | 'energy'> & Partial<Fact>): Promise<void> {
    await this.spool.append((sequence, stream) => this.make(sequence, stream, make(sequence, stream)));
    this.settleLost();
    if (this.held.length === 0) assert.ok(this.spool.bytes <= QUOTA_BYTES + HEADER_BYTES, `${this.spool.bytes} bytes on disk`);
  }

  /** The model knows of it before the disk does: a crash leaves it or not. */
  private make(sequence: number, stream: string, made: Pick<Fact, 'payload' | 'energy'> & Partial<Fact>): Buffer {
    const position = this.spool.nextPosition;
    this.facts.set(position, { position, name: `${stream}/${sequence}`, state: 'pending', durable: this.options.sync === 'append', ...made });
    return Buffer.from(made.payload);
  }

  private async tell(): Promise<void> {
    await this.spool.tellLosses((sequence, stream, losses) => {
      const tells = { ...amounts(losses), tooOld: amounts(losses.filter(({ tooOld }) => tooOld === true)) };
      return this.make(sequence, stream, { payload: `told ${stream}/${sequence} ${tells.batches}`, energy: 0n, tells });
    });
    this.settleLost();
  }

  private async take(end: 'old' | 'new'): Promise<void> {
    const record = await this.spool.take(end === 'old' ? {} : { from: this.spool.nextPosition - 1 });
    if (!record) return;
    const fact = this.facts.get(record.position);
    assert.equal(fact?.state, 'pending');
    assert.equal(record.payload.toString(), fact?.payload);
    assert.ok(!this.held.includes(record.position));
    this.held.push(record.position);
    // The newest segment was synced as a whole, the older ones when they were closed.
    for (const each of this.facts.values()) if (each.position <= record.position || record.position >= this.newestSegment()) each.durable = true;
  }

  newestSegment = (): number => Math.max(...readdirSync(this.where).flatMap((name) => (name.endsWith('.segment') ? [Number(name.slice(0, 16))] : [])));

  private acknowledged(position: number): void {
    const fact = this.facts.get(position);
    if (fact) fact.state = 'acknowledged';
    if (fact?.tells && !this.told.has(fact.name)) {
      this.told.add(fact.name);
      this.out.batches += fact.tells.batches;
      this.out.energy += fact.tells.energy;
    }
  }

  private refused(position: number): void {
    const fact = this.facts.get(position);
    if (!fact) return;
    const tells = fact.tells !== undefined && !this.told.has(fact.name);
    fact.state = tells ? 'acknowledged' : 'lost';
    if (fact.tells && tells) {
      this.told.add(fact.name);
      this.out.batches += fact.tells.tooOld.batches;
      this.out.energy += fact.tells.tooOld.energy;
    }
  }

  /** A quota drops from the old end, whole segments, nothing that is in hand. */
  private settleLost(): void {
    const first = Math.min(...readdirSync(this.where).flatMap((name) => (name.endsWith('.segment') ? [Number(name.slice(0, 16))] : [])));
    for (const fact of this.facts.values()) {
      if (fact.position >= first || fact.state !== 'pending') continue;
      assert.ok(!this.held.includes(fact.position));
      fact.state = 'lost';
    }
  }

  /** @param after turns of the event loop into a call; undefined: at rest */
  async crash(now: Step | undefined, after: number): Promise<void> {
    const before = new Map([...this.facts].map(([position, fact]) => [position, { ...fact }]));
    const { told, out } = this;
    this.told = new Set(told);
    this.out = { ...out };
    const running = now && this.do(now).catch(() => undefined);
    for (let turn = 0; turn < after; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    const copy = mkdtempSync(join(FAST, 'spool-model-'));
    for (const name of readdirSync(this.where)) if (!name.startsWith('lock')) copied(join(this.where, name), join(copy, name));
    await running;
    await this.reopen(copy);
    const found = await this.drain();
    // The copy was made before the account was closed: the collector will be told again. Closed, with only the cursor behind, it has been told.
    const carried = new Set(this.spool.losses.account.map(({ carriedBy }) => carriedBy));
    if ([...this.facts.values()].some(({ name, position }) => this.told.has(name) && !told.has(name) && found.has(position) && carried.has(position))) Object.assign(this, { told, out });
    this.reconcile(before, found);
  }

  /** Power is cut: of the newest segment any part may be gone that was not synced. */
  async cut(share: number): Promise<void> {
    const copy = mkdtempSync(join(FAST, 'spool-model-'));
    for (const name of readdirSync(this.where)) if (!name.startsWith('lock')) cpSync(join(this.where, name), join(copy, name));
    const newest = this.newestSegment();
    const file = join(copy, `${String(newest).padStart(16, '0')}.segment`);
    const durable = [...this.facts.values()].filter((fact) => fact.durable && fact.position >= newest).reduce((sum, fact) => sum + HEADER_BYTES + fact.payload.length, 0);
    const { size } = statSync(file);
    truncateSync(file, Math.round(durable + share * (size - durable)));
    if (share > 0.5) writeFileSync(file, Buffer.alloc(Math.round(share * 30)), { flag: 'a' });
    const before = new Map([...this.facts].map(([position, fact]) => [position, { ...fact }]));
    await this.reopen(copy);
    this.reconcile(before, await this.drain());
  }

  async reopen(where: string): Promise<void> {
    await this.spool.close();
    if (where !== this.where) rmSync(this.where, { recursive: true });
    this.where = where;
    this.held.splice(0);
    this.spool = await openSpool(where, { ...this.options, report: (flagged) => assert.equal(flagged.code, 'SPOOL_TORN_TAIL') });
    // Closing synced what there is.
    for (const fact of this.facts.values()) fact.durable = true;
  }

  /** What is there now is the truth, if it is one that a crash may leave. */
  private reconcile(before: ReadonlyMap<number, Fact>, found: ReadonlyMap<number, string>): void {
    for (const fact of this.facts.values()) {
      const there = found.get(fact.position);
      const was = before.get(fact.position);
      if (there !== undefined) {
        assert.equal(there, fact.payload);
        assert.notEqual(was?.state, 'lost');
        if (this.options.cursorEveryMs === 0) assert.equal(was?.state ?? 'pending', 'pending');
        fact.state = 'pending';
      } else if (fact.position >= this.spool.nextPosition) {
        // It never came to be: nobody may have seen it.
        assert.equal(was?.durable ?? false, false);
        this.facts.delete(fact.position);
      } else if (was?.state === 'lost') assert.equal(fact.state, 'lost');
      // Otherwise it is acknowledged, or in the account: the sums tell.
      else if (fact.state === 'pending') fact.state = 'lost';
    }
    this.check();
  }

  async drain(): Promise<Map<number, string>> {
    const found = new Map<number, string>();
    for (let record = await this.spool.take(); record; record = await this.spool.take({ from: record.position + 1 })) found.set(record.position, record.payload.toString());
    for (const position of found.keys()) this.spool.release(position);
    for (const fact of this.facts.values()) if (found.size > 0) fact.durable = true;
    return found;
  }

  check(): void {
    const facts = [...this.facts.values()];
    const pending = facts.filter(({ state }) => state === 'pending');
    assert.equal(this.spool.pending.records, pending.length);
    assert.equal(this.spool.pending.bytes, pending.reduce((sum, { payload }) => sum + HEADER_BYTES + payload.length, 0));
    assert.equal(new Set(facts.map(({ name }) => name)).size, facts.length);
    // One that told, came back because its acknowledgement did not reach the disk, and was dropped then, is a lost batch without amounts.
    const lost = facts.filter(({ state, tells, name }) => state === 'lost' && (!tells || this.told.has(name)));
    const account = amounts(this.spool.losses.account);
    assert.deepEqual({ batches: account.batches + this.out.batches, energy: account.energy + this.out.energy }, { batches: lost.length, energy: lost.reduce((sum, { energy }) => sum + energy, 0n) });
  }

  async end(): Promise<void> {
    await this.spool.close();
    rmSync(this.where, { recursive: true });
  }
}

/** A file that goes away while it is copied was deleted at that moment. */
function copied(from: string, to: string): void {
  try {
    writeFileSync(to, readFileSync(from));
  } catch (error) {
    if (!existsSync(from)) return;
    throw error;
  }
}
