/** A group of batches into the server: all share the waits that make them durable. See commits.ts for the order of steps and why. */
import { epochMicros, toEpochMicros } from '@joulebook/shared/units.js';
import type { Batch } from '@joulebook/shared/batch.js';
import type { Clock } from '@joulebook/shared/clock.js';
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { Written } from '../ledger.js';
import type { Appended } from '../store.js';
import type { Engine } from './engine.js';
import { claimPoint, commitPoint, hashOf, keyOf } from './commits.js';
import { Entries, NOTHING, type Known } from './entries.js';
import { Owners } from './owners.js';
import { CELL_MILLIS, FACT_KINDS, pointsOf, type Point } from './points.js';

interface Entry {
  readonly batch: Batch;
  readonly key: string;
  readonly hash: number;
  readonly points: readonly Point[];
}

const notKept = (what: string): TelemetryError => new TelemetryError('STORE_LOST_POINTS', `The store answered that it has ${what}, and does not give them back; it may have been restarted, be full, or keep less than the facts' age.`, 'retry');

/** @throws TelemetryError (`discard`) for a fact that the server would not keep as it is */
function entryOf(engine: Engine, { batch, text }: Written): Entry {
  const points = pointsOf(batch);
  const hash = hashOf(text);
  for (const point of [...points, commitPoint({ batch, hash }, '', epochMicros(0))]) {
    const objection = engine.objection(point);
    if (objection !== undefined) throw new TelemetryError('FACT_TOO_WIDE', `A fact of kind ${point.measurement} can't be stored: ${objection}. Give it fewer or shorter labels.`, 'discard');
  }
  return { batch, key: keyOf(batch), hash, points };
}

/** Another content that is claimed refuses this one too: it may be being written. */
function verdict({ hash }: Entry, { claimed, committed }: Known): Exclude<Appended, 'accepted'> | undefined {
  if (committed !== undefined) return committed === hash ? 'duplicate' : 'conflict';
  return claimed.some((other) => other !== hash) ? 'conflict' : undefined;
}

/** How many fields of each batch the server gives back. */
async function readBack(engine: Engine, entries: readonly Entry[]): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  const stream = [...new Set(entries.map(({ batch }) => batch.stream))];
  for (const measurement of FACT_KINDS) {
    const cells = entries.flatMap(({ points }) => points.flatMap((point) => (point.measurement === measurement ? [point.cell] : [])));
    if (cells.length === 0) continue;
    const [from, last] = cells.reduce(([least, most], cell) => [Math.min(least, cell), Math.max(most, cell)], [Infinity, 0]);
    for (const { tags, fields } of await engine.read({ measurement, where: { stream }, from, to: last + CELL_MILLIS })) {
      const key = keyOf({ stream: tags['stream'] ?? '', sequence: fields['sequence'] ?? -1 });
      found.set(key, (found.get(key) ?? 0) + Object.keys(fields).length);
    }
  }
  return found;
}

const fieldsOf = ({ points }: Entry): number => points.reduce((sum, { fields }) => sum + Object.keys(fields).length, 0);

/** @param collector tells this process from every other that writes to the server */
export function appender(engine: Engine, collector: string, clock: Clock): (batches: readonly Written[]) => Promise<Appended[]> {
  let last = 0;
  /** Later than any before: the order of commits is the order in which batches are judged. */
  const nextMoment = () => epochMicros((last = Math.max(last + 1, toEpochMicros(clock.wall()))));

  const owners = new Owners(engine);
  const ledger = new Entries(engine);
  const looked = (entries: readonly Entry[]) => ledger.lookUp(entries.map(({ batch }) => batch), clock.wall() * 1000);

  /** Those whose content nobody else has claimed or committed. */
  async function claim(fresh: readonly Entry[]): Promise<Entry[]> {
    if (fresh.length === 0) return [];
    const now = toEpochMicros(clock.wall());
    await engine.write(fresh.map((entry) => claimPoint(entry, collector, now)));
    await engine.visible();
    const known = await looked(fresh);
    return fresh.filter((entry) => {
      const { claimed, committed } = known.get(entry.key) ?? NOTHING;
      if (committed === undefined && !claimed.includes(entry.hash)) throw notKept('a claim');
      return verdict(entry, { claimed, committed }) !== 'conflict';
    });
  }

  /** Nobody gets into the numbers of another node's stream. */
  async function foreign(fresh: readonly Entry[]): Promise<Entry[]> {
    await owners.lookUp(fresh.map(({ batch }) => batch));
    const begun = new Map<string, string>();
    return fresh.filter(({ batch: { stream, node } }) => {
      const owner = owners.of(stream) ?? begun.get(stream) ?? node;
      begun.set(stream, owner);
      return owner !== node;
    });
  }

  async function onDisk(era: string): Promise<void> {
    if ((await engine.durable()) !== era) throw new TelemetryError('STORE_RESTARTED', `${engine.description} was restarted while a batch was being stored; send it again.`, 'retry');
  }

  async function writeFacts(entries: readonly Entry[], era: string): Promise<void> {
    const points = entries.flatMap((entry) => entry.points);
    if (points.length === 0) return;
    await engine.write(points);
    if (!engine.answersForPoints) {
      await engine.visible();
      const found = await readBack(engine, entries);
      for (const entry of entries) if ((found.get(entry.key) ?? 0) < fieldsOf(entry)) throw notKept(`batch ${entry.key}`);
    }
    await onDisk(era);
  }

  async function commit(entries: readonly Entry[], era: string): Promise<void> {
    await engine.write(entries.map((entry) => commitPoint(entry, collector, nextMoment())));
    if (!engine.answersForPoints) {
      await engine.visible();
      const known = await looked(entries);
      for (const { key, hash } of entries) if (known.get(key)?.committed !== hash) throw notKept(`the commit of batch ${key}`);
    }
    await onDisk(era);
  }

  return async (batches) => {
    const entries = batches.map((written) => entryOf(engine, written));
    const era = await engine.era();
    ledger.begin(era);
    const known = await looked(entries);
    const firstOf = new Map<string, Entry>();
    for (const entry of entries) if (!firstOf.has(entry.key)) firstOf.set(entry.key, entry);
    const firsts = [...firstOf.values()];
    const verdicts = new Map(firsts.map((entry) => [entry, verdict(entry, known.get(entry.key) ?? NOTHING)]));

    for (const entry of await foreign(firsts.filter((each) => verdicts.get(each) === undefined))) verdicts.set(entry, 'conflict');

    // Another collector may have committed it a moment ago, and not yet durably.
    if ([...verdicts.values()].includes('duplicate')) await onDisk(era);

    const won = new Set(await claim(firsts.filter((entry) => verdicts.get(entry) === undefined)));
    if (won.size > 0) {
      await writeFacts([...won], era);
      await commit([...won], era);
      for (const { batch: { stream, node } } of won) owners.begun(stream, node);
    }
    return entries.map((entry): Appended => {
      const first = firstOf.get(entry.key);
      if (first === undefined || first === entry) return won.has(entry) ? 'accepted' : (verdicts.get(entry) ?? 'conflict');
      const stands = won.has(first) || verdicts.get(first) === 'duplicate';
      if (stands) return first.hash === entry.hash ? 'duplicate' : 'conflict';
      // The first of them was refused for another content; this one may be that content.
      const committed = known.get(entry.key)?.committed;
      return committed === entry.hash ? 'duplicate' : 'conflict';
    });
  };
}
