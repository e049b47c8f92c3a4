import { readFile } from 'node:fs/promises';
import { describeIssues, parseDuration } from '@joulebook/shared/settings.js';
import { messageOf, UsageError } from '@joulebook/shared/errors.js';
import { toIso } from '@joulebook/shared/units.js';
import { Command } from 'commander';
import { parse as parseYaml } from 'yaml';
import { dialects } from '../simulate/dialects/index.js';
import { EXAMPLE } from '../simulate/example.js';
import { planOf, simulationSchema, type Plan } from '../simulate/recording.js';
import { sensorFormats } from '../simulate/sensors/index.js';
import { write, type Written } from '../simulate/write.js';
import { progressOn } from './progress.js';

interface SimulateFlags {
  scenario?: string;
  out: string;
  seed?: string;
  duration?: string;
}

export function simulateCommand(): Command {
  return new Command('simulate')
    .summary('make a recording of a server that never was, with its truth')
    .description('Simulates an LLM server and writes what its sensors and its engine would have said into a folder that `replay` reads, and beside it truth.json: which joule was drawn for what. Without a scenario: ten minutes of an H100 that serves an 8B model.')
    .requiredOption('--out <DIR>', 'folder to write; an earlier simulation in it is replaced, anything else is refused')
    .option('--scenario <FILE>', 'what to simulate (YAML)')
    .option('--seed <N>', 'the dice; the same seed gives the same files')
    .option('--duration <DURATION>', 'how long requests arrive, e.g. 90s or 24h')
    .addHelpText('after', `\nA scenario says what differs from this one; every field may be left out:\n\n${indented(EXAMPLE)}\nPower formats:\n${list(sensorFormats)}\n\nServing formats:\n${list(dialects)}`)
    .action(simulate);
}

const list = (formats: readonly { name: string; summary: string }[]): string => formats.map(({ name, summary }) => `  ${name.padEnd(18)} ${summary}`).join('\n');
const indented = (text: string): string => text.replace(/^(?=.)/gm, '  ');

async function simulate({ scenario, out, seed, duration }: SimulateFlags): Promise<void> {
  const plan = await planFrom(scenario, { seed: numberOf(seed), duration: durationOf(duration) });
  const progress = progressOn(process.stderr);
  const written = await write(plan, out, (at) => progress.tell(() => `${Math.round(at)} s of ${plan.scenario.duration} s simulated`));
  progress.done();
  process.stderr.write(summaryOf(written, out));
}

function numberOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,15}$/.test(text)) throw new UsageError([`--seed: '${text}' is not a whole number`]);
  return Number(text);
}

function durationOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = parseDuration(text);
  if (value === undefined || value <= 0) throw new UsageError([`--duration: '${text}' is not a duration; write 90s, 10m or 24h`]);
  return value;
}

/** @throws UsageError naming the file and every fault in it */
async function planFrom(file: string | undefined, flags: { seed: number | undefined; duration: number | undefined }): Promise<Plan> {
  const where = file ?? 'scenario';
  const said = file === undefined ? {} : await readScenario(file);
  const over = Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined));
  const checked = simulationSchema.safeParse({ ...said, ...over });
  if (!checked.success) throw new UsageError(describeIssues(checked.error, where));
  return planOf(checked.data, where);
}

async function readScenario(file: string): Promise<object> {
  let said: unknown;
  try {
    said = parseYaml(await readFile(file, 'utf8'));
  } catch (error) {
    throw new UsageError([`${file}: ${messageOf(error)}`]);
  }
  if (said === null || said === undefined) return {};
  if (typeof said !== 'object' || Array.isArray(said)) throw new UsageError([`${file}: expected a scenario as 'name: value' lines`]);
  return said;
}

function summaryOf({ truth: { total, tokens, requests, mixedShare }, files, from, to }: Written, out: string): string {
  const all = total.prefill + total.decode + total.idle;
  const part = (joules: number): string => `${Math.round(joules).toLocaleString('en-US')} J (${((100 * joules) / all).toFixed(1)} %)`;
  return [
    `${toIso(from)} to ${toIso(to)}: ${requests.length.toLocaleString('en-US')} requests, ${tokens.input.toLocaleString('en-US')} input tokens computed, ${tokens.cachedInput.toLocaleString('en-US')} cached, ${tokens.output.toLocaleString('en-US')} output`,
    `true energy of the GPUs: prefill ${part(total.prefill)}, decode ${part(total.decode)}, idle ${part(total.idle)}; ${(100 * mixedShare).toFixed(0)} % of what is not idle in iterations with both`,
    `${[...files, 'recording.yaml', 'truth.json'].join(', ')} are in ${out}; replay them with: joulebook-agent replay ${out} | joulebook report - --by phase`,
    '',
  ].join('\n');
}
