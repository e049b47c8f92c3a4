/**
 * A simulation → a folder that `replay` reads, and what is true of it. The run is written while it is made: what is in memory
 * does not grow with its length, but for the truth about each request.
 *
 *   engine ─▶ happenings ─▶ in order of their end ─▶ dialects ─▶ logs, scrapes, requests
 *      └────▶ true power ──────────────────────────▶ sensors  ─▶ power files
 *      └────▶ truth ───────────────────────────────────────────▶ truth.json
 */
import { utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { later, seconds, toIso, type Instant } from '@joulebook/shared/units.js';
import { stringify } from 'yaml';
import { boardsOf } from './boards.js';
import { wallClock } from './clock.js';
import { inOrderOfEnd } from './dialects/in-order.js';
import { run } from './engine.js';
import { servingFilesOf, type ServingFile } from './engines.js';
import { claim } from './folder.js';
import { output } from './output.js';
import { Random } from './random.js';
import { MANIFEST_FILE, TRUTH_FILE, type Plan } from './recording.js';
import type { Draw, SensorFile } from './sensors/format.js';
import { shownTruth } from './shown-truth.js';
import type { Run, Truth } from './trace.js';

export interface Written {
  readonly files: readonly string[];
  readonly truth: Truth;
  readonly from: Instant;
  readonly to: Instant;
}

/** The sensors are read in stretches of so long. */
const READ_EVERY_SECONDS = 1;

type Say = (file: string, text: string) => Promise<void>;

/**
 * @param progress hears how far it is, in seconds since the start
 * @throws UsageError for a scenario that can't be; TelemetryError (`abort`) for a folder that holds something else
 */
export async function write(plan: Plan, folder: string, progress: (at: number) => void): Promise<Written> {
  const { scenario, recording } = plan;
  const running = run(scenario);
  const begins = recording.start;
  const boards = boardsOf(running.gpus, scenario, recording.boards);
  const random = (name: string): Draw => {
    const dice = new Random(scenario.seed, name);
    return () => dice.next();
  };
  const sensors = plan.sensors.map(({ open }) => open({ power: running.power, boards, clock: (tz) => wallClock(begins, tz), random }));
  const serving = servingFilesOf(plan, running.gpus, begins);
  const files = [...sensors, ...serving].map(({ file }) => file);
  await claim(folder, files);

  const outputs = new Map(files.map((file) => [file, output(join(folder, file))]));
  const say: Say = async (file, text) => {
    if (text !== '') await outputs.get(file)?.write(text);
  };
  for (const { file, writer } of serving) await say(file, writer.start());
  const ranks = await tell(running, serving, sensors, say, progress);
  for (const each of outputs.values()) await each.close();

  const truth = running.truth();
  const to = later(begins, truth.duration);
  const told = { simulation: { files }, from: toIso(begins), to: toIso(to), truth, atSensorGain: shownTruth(truth, boards, running.gpus, (request) => ranks.get(request)), sensors: truths(sensors), serving: truths(serving), scenario, recording };
  await writeFile(join(folder, TRUTH_FILE), `${JSON.stringify(told)}\n`);
  await writeFile(join(folder, MANIFEST_FILE), manifestOf(plan, sensors, serving));
  // A log that names no year is dated by when it was last written.
  for (const file of files) await utimes(join(folder, file), to, to);
  return { files, truth, from: begins, to };
}

const truths = (all: readonly { readonly file: string; readonly truth: Readonly<Record<string, unknown>> }[]) => all.map(({ file, truth }) => ({ file, ...truth }));

/** Plays the run to everyone who writes. @returns the rank that had each request last */
async function tell(running: Run, serving: readonly ServingFile[], sensors: readonly SensorFile[], say: Say, progress: (at: number) => void): Promise<ReadonlyMap<number, number>> {
  const ranks = new Map<number, number>();
  const { power } = running;
  const reach = Math.max(0, ...sensors.map((sensor) => sensor.reach));
  let looked = 0;
  const look = async (until: number): Promise<void> => {
    for (const sensor of sensors) for (const text of sensor.next(until)) await say(sensor.file, text);
    looked = until;
    power.server.forget(seconds(until - reach - READ_EVERY_SECONDS));
    progress(until);
  };

  for (const { at, happening } of inOrderOfEnd(running.happenings)) {
    if (happening.kind === 'request') ranks.set(happening.request.id, happening.request.rank);
    for (const { file, writer, hears } of serving) {
      if (hears(happening)) await say(file, `${writer.until(at)}${happening.kind === 'iteration' ? writer.iteration(happening.iteration) : writer.request(happening.request)}`);
    }
    if (power.server.until - looked >= READ_EVERY_SECONDS) await look(power.server.until);
  }
  const end = power.server.until;
  await look(end);
  for (const { file, writer } of serving) await say(file, `${writer.until(end)}${writer.end(end)}`);
  return ranks;
}

const manifestOf = ({ recording: { node, labels } }: Plan, sensors: readonly SensorFile[], serving: readonly ServingFile[]): string =>
  `# A simulation: made up by a model, measured nowhere. What is true of it stands in ${TRUTH_FILE}.\n${stringify({ node, labels: { ...labels, simulated: 'true' }, power: sensors.map(({ entry }) => entry), serving: serving.flatMap(({ entry }) => entry ?? []) })}`;
