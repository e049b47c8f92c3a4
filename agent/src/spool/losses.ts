/**
 * The loss account: what was measured and will not arrive, until the collector has been told.
 *
 *     losses    { "accounted": "611", "batches": 611, "losses": [
 *                 { "reason": "quota", "batches": 611, "from": …, "to": …, "microjoules": { "gpu": "8640000000" },
 *                   "tokens": { "output": 1234 }, "requests": 55, "minutes": [[29867520, 6], …], "carriedBy": 1700 } ] }
 *
 * - It is on disk before a lost batch is deleted, in one piece with the positions it accounts for (`accounted`): after a
 *   crash at any moment each of them is either still to be sent or in the account, never both.
 * - An entry is told in a batch of the spool like any fact. `carriedBy`, written before that batch is, says in which: once the
 *   collector has it the entry goes; if that batch never came to be, or is lost itself, the entry is told again.
 * - What is counted is what is not known to have arrived: of a batch whose answer was lost the collector may know.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { addContent, contentSchema, contentText, NO_CONTENT, type Content } from './content.js';
import { replaceDurably } from './durable-file.js';
import { Settled } from './settled.js';

/**
 * `quota`: the spool was full, its oldest segment went. `memory`: the disk refused, and the memory that waits for it was full.
 * `rejected`: the collector will not take it.
 */
export const LOSS_REASONS = ['quota', 'memory', 'rejected'] as const;
export type LossReason = (typeof LOSS_REASONS)[number];

const lossSchema = contentSchema.extend({
  reason: z.enum(LOSS_REASONS),
  batches: z.int(),
  /** Batches by the minute (since 1970) in which their facts begin. */
  minutes: z.array(z.tuple([z.int(), z.int()]).readonly()).readonly(),
  /** The position of the batch that tells of it. */
  carriedBy: z.int().optional(),
  /** The collector takes no facts of that time any more: it is told as of the time of telling. */
  tooOld: z.boolean().optional(),
});
export type Loss = Readonly<z.output<typeof lossSchema>>;

const accountSchema = z.object({ accounted: z.string(), batches: z.int(), losses: z.array(lossSchema).readonly() });
type Account = Readonly<z.output<typeof accountSchema>>;

export interface LostBatch {
  readonly reason: LossReason;
  readonly content: Content;
}

const EMPTY: Account = { accounted: new Settled().text, batches: 0, losses: [] };
const MICROS_PER_MINUTE = 60e6;
const MINUTES_PER_DAY = 1440;

const fileOf = (directory: string): string => join(directory, 'losses');

/** @throws SyntaxError, ZodError when there is one that can't be read */
export async function readAccount(directory: string): Promise<Account> {
  const text = await readFile(fileOf(directory), 'utf8').catch(() => undefined);
  return text === undefined ? EMPTY : accountSchema.parse(JSON.parse(text));
}

export class LossAccount {
  readonly #directory: string;
  #account: Account;
  /** What is in memory is not on disk: the disk refused. */
  #unwritten = false;
  /** The cursor on disk knows the accounted positions: they need not be kept here any longer. */
  #inCursor = false;

  private constructor(directory: string, account: Account) {
    this.#directory = directory;
    this.#account = account;
  }

  /** @param unreadable is told why, when the file can't be read; then a new account begins */
  static async open(directory: string, unreadable: (error: unknown) => void): Promise<LossAccount> {
    const account = await readAccount(directory).catch((error: unknown) => {
      unreadable(error);
      return EMPTY;
    });
    return new LossAccount(directory, account);
  }

  /** Not yet in a batch of the spool. */
  get untold(): readonly Loss[] {
    return this.#account.losses.filter(({ carriedBy }) => carriedBy === undefined);
  }

  get all(): readonly Loss[] {
    return this.#account.losses;
  }

  /** Batches lost over the life of the spool. */
  get batches(): number {
    return this.#account.batches;
  }

  /** Positions whose batches are in the account: they are not sent any more, whatever the cursor says. */
  get accounted(): Settled {
    return Settled.parse(this.#account.accounted) ?? new Settled();
  }

  /** Durable when it returns. @throws what the file system says; then nothing was added */
  add(lost: readonly LostBatch[], first: number, last: number): Promise<void> {
    return this.#settle(added(this.#account, lost), first, last);
  }

  /** Of batches that never had a position. Kept in memory until the disk takes it. */
  async addUnwritten(lost: readonly LostBatch[]): Promise<void> {
    this.#account = added(this.#account, lost);
    this.#unwritten = true;
    await this.write().catch(() => undefined);
  }

  /** @throws what the file system says */
  async write(): Promise<void> {
    if (this.#unwritten) await this.#change(this.#account);
  }

  /** Says, durably, that the batch that will stand at a position tells of these. */
  carry(told: readonly Loss[], position: number): Promise<void> {
    return this.#change({ ...this.#account, losses: this.#account.losses.map((loss) => (told.includes(loss) ? { ...loss, carriedBy: position } : loss)) });
  }

  carries(position: number): boolean {
    return this.#account.losses.some(({ carriedBy }) => carriedBy === position);
  }

  /** The collector has been told by the batch at a position. */
  async told(position: number): Promise<void> {
    if (!this.carries(position)) return;
    this.#replace(this.#account.losses.filter(({ carriedBy }) => carriedBy !== position));
    await this.write().catch(() => undefined);
  }

  /** The collector will not take the batch at a position: once more, as of the time of telling; after that it is given up. */
  refused(position: number): Promise<void> {
    const losses = this.#account.losses.flatMap((loss) => (loss.carriedBy !== position ? [loss] : loss.tooOld === true ? [] : [{ ...untold(loss), tooOld: true }]));
    return this.#settle({ ...this.#account, losses }, position, position);
  }

  /** The batches at these positions never came to be, or are lost. */
  async tellAgain(lost: (position: number) => boolean): Promise<void> {
    if (!this.#account.losses.some(({ carriedBy }) => carriedBy !== undefined && lost(carriedBy))) return;
    this.#replace(this.#account.losses.map((loss) => (loss.carriedBy !== undefined && lost(loss.carriedBy) ? untold(loss) : loss)));
    await this.write().catch(() => undefined);
  }

  /** After a restart: `lost` are positions where no batch ever stood, `settled` those that are not sent any more. */
  async recover({ lost, settled }: { readonly lost: (position: number) => boolean; readonly settled: (position: number) => boolean }): Promise<void> {
    const { accounted } = this;
    await this.tellAgain((position) => lost(position) || accounted.has(position));
    for (const { carriedBy } of this.#account.losses) if (carriedBy !== undefined && settled(carriedBy)) await this.told(carriedBy);
  }

  cursorWritten(): void {
    this.#inCursor = true;
  }

  async #settle(account: Account, first: number, last: number): Promise<void> {
    const accounted = this.#inCursor ? new Settled() : this.accounted;
    accounted.add(first, last);
    await this.#change({ ...account, accounted: accounted.text });
    this.#inCursor = false;
  }

  #replace(losses: readonly Loss[]): void {
    this.#account = { ...this.#account, losses };
    this.#unwritten = true;
  }

  async #change(account: Account): Promise<void> {
    await replaceDurably(fileOf(this.#directory), `${JSON.stringify({ ...account, losses: account.losses.map(lossText) })}\n`);
    this.#account = account;
    this.#unwritten = false;
  }
}

const untold = ({ carriedBy: _position, ...loss }: Loss): Loss => loss;
const lossText = ({ reason, batches, minutes, carriedBy, tooOld, ...content }: Loss): object => ({ reason, batches, ...contentText(content), minutes, carriedBy, tooOld });

/** Entries of one reason and one day (UTC) become one, as long as nobody was told of it. */
function added(account: Account, lost: readonly LostBatch[]): Account {
  const open = new Map<string, Loss>();
  const told: Loss[] = [];
  for (const loss of account.losses) {
    const key = keyOf(loss.reason, loss.minutes[0]?.[0] ?? 0);
    if (loss.carriedBy === undefined && loss.tooOld !== true && !open.has(key)) open.set(key, loss);
    else told.push(loss);
  }
  for (const { reason, content } of lost) {
    const minute = Math.floor((content.from ?? Date.now() * 1000) / MICROS_PER_MINUTE);
    const key = keyOf(reason, minute);
    const { minutes = [], batches = 0, ...sum } = open.get(key) ?? {};
    const last = minutes.at(-1);
    open.set(key, {
      ...addContent({ ...NO_CONTENT, ...sum }, content),
      reason,
      batches: batches + 1,
      minutes: last?.[0] === minute ? [...minutes.slice(0, -1), [minute, last[1] + 1]] : [...minutes, [minute, 1]],
    });
  }
  return { ...account, batches: account.batches + lost.length, losses: [...told, ...open.values()] };
}

const keyOf = (reason: LossReason, minute: number): string => `${reason} ${Math.floor(minute / MINUTES_PER_DAY)}`;
