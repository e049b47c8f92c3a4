/**
 * Saved Redfish documents: JSON lines (or one JSON array) of `{ time, path, body }`, or a single document with the
 * manifest's `time`. Metrics of supplies that bear the same time are added up; a round that lacks one of the supplies
 * that the file knows is missing, not smaller.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { Instant } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { isFault, readInstant } from '../../cells.js';
import { notThisFormat } from '../../dialects.js';
import { ABSURD_READING, lineTally, MISSING_READINGS, type LineTally } from '../../line-tally.js';
import { powerFormat, type RecordedFile, type RecordedPowerEntry } from '../../recorded.js';
import type { Channel, PowerEvent, Reading } from '../../source.js';
import { textLines, wholeText } from '../../text-lines.js';
import { zone, type Zone } from '../../timestamps.js';
import { fieldsOf, itemsOf, textOf } from '../json-value.js';
import { plausible } from '../plausible.js';
import { pathOf, powerOf, saysPower, sum, type RedfishPower } from './redfish-document.js';
import { GPU_BOARD, sensorAt } from '../sensors.js';

const NAME = 'redfish';

const options = { time: z.union([z.string().min(1), z.number()]).optional(), gpus: z.enum(['check', 'book']).default('check') };
type Options = z.output<z.ZodObject<typeof options>>;

export const recordedRedfish = powerFormat({
  name: NAME,
  summary: 'saved Redfish documents: JSON lines of { time, path, body }, or one document and time: …; gpus: book for those of an HGX baseboard',
  options,
  open(entry, chosen) {
    const local = zone(entry.tz);
    return { description: `${entry.file.label} (${NAME})`, events: () => events(entry, local, chosen) };
  },
});

interface Saved {
  readonly line: number;
  readonly at: Instant;
  readonly path: string;
  readonly said: RedfishPower;
}

async function* events(entry: RecordedPowerEntry, local: Zone, chosen: Options): AsyncGenerator<PowerEvent, void> {
  const supplies = new Set<string>();
  for await (const { said, path } of saved(entry.file, local, chosen, lineTally(entry.file.label))) if (said.scope === 'supply') supplies.add(path);
  const tally = lineTally(entry.file.label);
  const channelOf = channels(entry, chosen);
  let round: Saved[] = [];

  const close = (): PowerEvent[] => {
    const parts = round;
    round = [];
    const [first] = parts;
    if (!first) return [];
    const known = new Map(parts.map(({ path, said }) => [path, said.watts]));
    return reading({ ...first, said: { ...first.said, watts: known.size < supplies.size ? undefined : sum([...known.values()]) } });
  };
  const reading = ({ line, at, path, said }: Saved): PowerEvent[] => {
    const channel = channelOf(path, said);
    const energy: Reading[] = said.energy === undefined ? [] : [{ kind: 'reading', channel: channelOf(path, said, 'energy'), at, measures: 'counter', total: said.energy }];
    const value = isFault(said.watts) ? undefined : said.watts;
    const judged = plausible(channel.boundary, value);
    if (judged.kind === 'power') return [{ kind: 'reading', channel, at, measures: 'power', power: judged.power }, ...energy];
    tally.note(judged.kind === 'missing' ? MISSING_READINGS : ABSURD_READING, line, isFault(said.watts) ? `its reading ${said.watts.fault}` : judged.reason);
    return energy;
  };

  for await (const document of saved(entry.file, local, chosen, tally)) {
    const { said, at } = document;
    if (round[0] && (said.scope !== 'supply' || at !== round[0].at)) yield* close();
    if (said.scope === 'supply') round.push(document);
    else yield* reading(document);
  }
  yield* close();
  tally.judge(NAME);
  yield* tally.flagged();
}

/** The first chassis of the file is the server; others may be inside of it, and are checks. */
function channels({ device = 'server', boundary = 'server' }: RecordedPowerEntry, { gpus }: Options): (path: string, said: RedfishPower, what?: 'energy') => Channel {
  const known = new Map<string, Channel>();
  let first: string | undefined;
  return (path, { scope, what, facts }, energy) => {
    const chassis = /\/Chassis\/([^/]+)/.exec(path)?.[1];
    if (scope !== 'gpu') first ??= chassis;
    const isServer = chassis === first || chassis === undefined;
    const called = scope === 'gpu' ? (/\/Processors\/([^/]+)/.exec(path)?.[1] ?? 'gpu0') : isServer ? device : `${device}/${chassis}`;
    const id = `${NAME}/${called}/${energy ?? what}`;
    const isCheck = energy !== undefined || (scope === 'gpu' ? gpus === 'check' : !isServer);
    const at = scope === 'gpu' ? 'gpu' : boundary;
    const sensor = energy ? { gain: sensorAt(at).gain } : { ...(scope === 'gpu' ? GPU_BOARD : sensorAt(at)), ...facts };
    const channel: Channel = known.get(id) ?? { id, device: called, boundary: at, source: NAME, measures: energy ? 'counter' : 'power', sensor, ...(isCheck && { use: 'check' }) };
    known.set(id, channel);
    return channel;
  };
}

/** The documents that speak of power, in order. */
async function* saved(file: RecordedFile, local: Zone, { time }: Options, tally: LineTally): AsyncGenerator<Saved> {
  let silent: string | undefined;
  let speaks = false;
  for await (const { line, value, flaw } of documents(file)) {
    const record = fieldsOf(value);
    const isRecord = record.has('body');
    const body = isRecord ? record.get('body') : value;
    const path = pathOf(body, textOf(record.get('path')));
    const said = powerOf(body, path);
    const stamp = record.get('time');
    const written = isRecord && (typeof stamp === 'string' || typeof stamp === 'number') ? stamp : time;
    const at = readInstant(written, local);
    if (flaw !== undefined) tally.skip(line, flaw);
    else if (!saysPower(said)) silent ??= said.nothing;
    else if (at === undefined || isFault(at)) tally.skip(line, isFault(at) ? `time ${at.fault}` : 'no time: save { time, path, body }, or say time in the manifest');
    else {
      tally.used();
      speaks = true;
      yield { line, at, path, said };
    }
  }
  if (silent !== undefined && !speaks && tally.flagged().length === 0) throw new TelemetryError('FILE_FORMAT', `${file.label} says no power: ${silent}; save EnvironmentMetrics, Power, or the Metrics of every supply.`, 'abort');
}

interface Document {
  readonly line: number;
  readonly value: unknown;
  readonly flaw?: string;
}

async function* documents(file: RecordedFile): AsyncGenerator<Document> {
  if (await isLines(file)) {
    for await (const { number, text, tooLong } of textLines(file)) {
      if (text.trim() === '' && !tooLong) continue;
      const value = parsed(text);
      yield value === undefined ? { line: number, value, flaw: tooLong ? 'longer than 1 MiB' : 'not JSON, or cut off' } : { line: number, value };
    }
    return;
  }
  const text = await wholeText(file);
  const value = parsed(text);
  if (value === undefined) throw new TelemetryError('FILE_FORMAT', notThisFormat(file.label, NAME, 'it is no JSON', text.slice(0, 200)), 'abort');
  for (const [index, each] of (Array.isArray(value) ? itemsOf(value) : [value]).entries()) yield { line: index + 1, value: each };
}

/** One JSON object per line, several of them: a document printed in one line is not one. */
async function isLines(file: RecordedFile): Promise<boolean> {
  let lines = 0;
  for await (const { text } of textLines(file)) {
    if (text.trim() === '') continue;
    if (fieldsOf(parsed(text)).size === 0) return lines > 0;
    lines += 1;
    if (lines === 2) return true;
  }
  return false;
}

function parsed(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch {
    return undefined;
  }
}
