/**
 * Alerts over simulated months, several seeds each: as they are, with twice the noise, and with 15 seeded anomalies of three kinds. What the
 * judge finds goes through incidents to a real webhook on 127.0.0.1 that fails every third time, with a restart every day.
 * Goals: at most one false alarm in 30 days, every anomaly found within its window, and each firing and each resolve told once.
 */
import { parseArgs } from 'node:util';
import { STEP_MICROS } from '@joulebook/collector/alerts/anomaly.js';
import { advance, idOf, type Incident } from '@joulebook/collector/alerts/incident.js';
import { alarmsOf, episodesOf, foundAfter, KINDS, seeded, simulatedMonth, type Seeded } from '@joulebook/collector/alerts/simulated-month.testing.js';
import { receiver } from '@joulebook/collector/alerts/sinks.testing.js';
import { Teller, untoldOf, type Told } from '@joulebook/collector/alerts/teller.js';
import { UsageError } from '@joulebook/shared/errors.js';
import { z } from 'zod';

const STEPS_A_DAY = 86_400e6 / STEP_MICROS;
const STEP_SECONDS = STEP_MICROS / 1e6;
const RULE = { name: 'unusual', kind: 'anomaly', for: 0, keepFiring: 300, absent: 'unknown' } as const;
/** An hour's median still has some of what is over. */
const AFTERWARDS = 6;

/** From the second week on, five of each kind; at other hours for each seed. */
const anomaliesOf = (seed: number, days: number): Seeded[] => [0, 1, 2, 3, 4].flatMap((round) => KINDS.map((kind, index) => seeded(kind, Math.min(days - 1, 7 + Math.floor(((days - 8) * (3 * round + index)) / 15)), (5 * round + 7 * index + 3 * seed) % 21)));

const body = z.object({ alerts: z.array(z.object({ status: z.string(), fingerprint: z.string(), startsAt: z.string() })) });

/** How often each firing and each resolve arrived. */
async function delivered(alarms: readonly boolean[]): Promise<{ fired: number; resolved: number; twice: number }> {
  const sink = await receiver();
  const log = { warn: () => undefined, info: () => undefined };
  let incidents: readonly Incident[] = [];
  let told: Told = {};
  let now = 0;
  let begun = 0;
  const begin = (): Teller => new Teller({ name: 'hook', kind: 'webhook', url: sink.url }, {
    now: () => now, log, firstWait: 0.001,
    notes: { incidents: () => incidents, told: () => told, note: (_sink, taken) => { told = { ...told, ...Object.fromEntries(taken.map((one) => [idOf(one), one.status === 'resolved' ? ('resolved' as const) : ('firing' as const)])) }; return Promise.resolve(); } },
  });
  let teller = begin();
  for (const [step, alarm] of [...alarms, false, false].entries()) {
    now = step * STEP_SECONDS;
    const before = incidents.filter(({ status }) => status === 'firing').length;
    incidents = advance(incidents, [{ rule: RULE, conditions: [{ labels: { deployment: 'chat' }, severity: 'warning', holds: alarm, value: null, summary: 'Unusual.' }] }], new Set([RULE.name]), now, (one) => untoldOf([one], told).length === 0);
    begun += Math.max(0, incidents.filter(({ status }) => status === 'firing').length - before);
    if (untoldOf(incidents, told).length > 0 && sink.all.length % 3 === 2) sink.answer(503);
    teller.tell();
    await teller.settled();
    if (step % STEPS_A_DAY === 0) {
      await teller.stop();
      teller = begin();
    }
  }
  await teller.stop();
  await sink.close();
  const messages = sink.taken.flatMap(({ body: text }) => body.parse(JSON.parse(text)).alerts.map(({ status, fingerprint, startsAt }) => `${status} ${fingerprint} ${startsAt}`));
  const count = (status: string): number => new Set(messages.filter((message) => message.startsWith(status))).size;
  return { fired: count('firing') === begun ? begun : Number.NaN, resolved: count('resolved'), twice: messages.length - new Set(messages).size };
}

const falseAlarms = (alarms: readonly boolean[], anomalies: readonly Seeded[]): number => episodesOf(alarms, AFTERWARDS).filter((episode) => anomalies.every(({ from, to }) => episode.to <= from || episode.from > to + AFTERWARDS)).length;

export async function alerts(options: readonly string[]): Promise<boolean> {
  const { values } = parseArgs({ args: [...options], options: { days: { type: 'string', default: '30' }, seeds: { type: 'string', default: '10' } } });
  const [days, seeds] = [Number(values.days), Number(values.seeds)];
  if (!(Number.isInteger(days) && days >= 10) || !(Number.isInteger(seeds) && seeds > 0)) throw new UsageError(['alerts: --days is a whole number of at least 10, --seeds one above 0']);
  console.log(`${days} days a seed; false alarms: as they are, with twice the noise, beside anomalies; minutes until the last of each kind was found, and how many were\n`);
  console.log(['seed', 'judged', 'false', 'rough', 'beside', ...KINDS.map((kind) => kind.padStart(12)), 'fired', 'resolved', 'twice'].map((head) => head.padStart(9)).join(''));
  let good = true;
  for (let seed = 1; seed <= seeds; seed += 1) {
    const plain = alarmsOf(simulatedMonth(seed, days));
    const rough = alarmsOf(simulatedMonth(seed, days, [], 2));
    const anomalies = anomaliesOf(seed, days);
    const { alarms } = alarmsOf(simulatedMonth(seed, days, anomalies));
    const quiet = [falseAlarms(plain.alarms, []), falseAlarms(rough.alarms, []), falseAlarms(alarms, anomalies)];
    const after = KINDS.map((kind) => anomalies.filter((each) => each.kind === kind).map((each) => foundAfter(alarms, each)));
    const { fired, resolved, twice } = await delivered(alarms);
    good &&= quiet.every((count) => count <= days / 30) && after.flat().every((minutes) => minutes < Infinity) && fired === resolved && twice === 0;
    const found = after.map((minutes) => `${Math.max(...minutes.filter((each) => each < Infinity))} (${minutes.filter((each) => each < Infinity).length}/${minutes.length})`.padStart(12));
    console.log([seed, `${Math.round((100 * plain.judged) / (days * STEPS_A_DAY))} %`, ...quiet, ...found, fired, resolved, twice].map((cell) => String(cell).padStart(9)).join(''));
  }
  return good;
}
