/** `joulebook outcomes`: a file of what became of requests after they were booked, sent to a running collector. */
import { setTimeout as wait } from 'node:timers/promises';
import type { Command } from 'commander';
import { messageOf, TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import { z } from 'zod';
import { ask, faultsOfAddress, type Credentials } from './ask.js';
import { addSettings, keep, readSettings, TO_COLLECTOR } from './options.js';
import { checkOutcomes, messagesOf, type Message } from './outcomes-file.js';
import type { Surroundings } from './surroundings.js';

const HELP = `
A line for each outcome, of one or more requests that are alike; CSV has a head with the same names, labels as label.NAME:

  at            when the requests ended: ISO 8601 with a zone, or epoch seconds
  was, outcome  ok, aborted, failed, superseded, fallback or rejected: what was booked, and what it is
  deployment, model, tenant, site, labels    as the requests have them; all but deployment may be left out
  requests (1), inputTokens, cachedInputTokens (0), outputTokens, ttft and tpot (s)

All lines are checked before the first is sent. Sent again, the same file changes nothing: what is in already is told as such, so
after an interruption send it again. Do not change or add to a file that was sent; send new lines as a file of their own.
The token needs ingest:NODE of --node.
`;

const TRIES = 5;
const FIRST_WAIT_SECONDS = 0.25;
/** Lines between two words of progress. */
const PROGRESS_LINES = 10_000;

const answer = z.object({ accepted: z.literal(true), duplicate: z.boolean() });

interface Sending {
  readonly collector: string;
  readonly credentials: Credentials;
  readonly node: string;
}
interface Summary {
  readonly corrections: number;
  readonly requests: number;
  readonly messages: number;
  /** Of messages. */
  readonly accepted: number;
  readonly duplicates: number;
}

async function send({ collector, credentials, node }: Sending, { id, outcomes }: Message): Promise<{ readonly duplicate: boolean }> {
  for (let turn = 1; ; turn += 1) {
    try {
      return await ask(collector, credentials, { method: 'POST', path: 'v1/outcomes', body: { id, node, outcomes } }, answer);
    } catch (error) {
      if (!(error instanceof TelemetryError) || error.remedy !== 'retry' || turn === TRIES) throw error;
      await wait(FIRST_WAIT_SECONDS * 4 ** (turn - 1) * 1000);
    }
  }
}

function explained(file: string, { firstLine, lastLine }: Message, done: number, cause: unknown): unknown {
  if (!(cause instanceof TelemetryError)) return cause;
  const where = `${file}, lines ${firstLine}–${lastLine}`;
  if (cause.code === 'COLLECTOR_CONFLICT') {
    return new TelemetryError('OUTCOMES_CONFLICT', `${where}: this file, or one that begins as it does, was sent before with other lines here: it was added to or changed since. What was sent stays; send the lines that are new in a file of their own.`, 'abort', { cause });
  }
  return new TelemetryError(cause.code, `${where}: ${messageOf(cause)} ${done} lines are in; send the file again for the rest, nothing is counted twice.`, 'abort', { cause });
}

async function sendAll(file: string, sending: Sending, all: number, say: (text: string) => void): Promise<Summary> {
  const sent = { corrections: 0, requests: 0, messages: 0, accepted: 0, duplicates: 0 };
  for await (const message of messagesOf(file)) {
    const { duplicate } = await send(sending, message).catch((cause: unknown) => Promise.reject(explained(file, message, sent.corrections, cause)));
    const before = sent.corrections;
    sent.corrections += message.outcomes.length;
    sent.requests += message.requests;
    sent.messages += 1;
    sent[duplicate ? 'duplicates' : 'accepted'] += 1;
    if (Math.floor(sent.corrections / PROGRESS_LINES) > Math.floor(before / PROGRESS_LINES)) say(`${sent.corrections} of ${all} outcomes are in.\n`);
  }
  return sent;
}

function sentence({ corrections, requests, messages, duplicates }: Summary): string {
  const known = duplicates === 0 ? '' : duplicates === messages ? '; all of them were in already, and nothing has changed' : `; of ${messages} messages ${duplicates} were in already`;
  return `${corrections} outcomes of ${requests} requests are in${known}.\n`;
}

export function addOutcomes(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('outcomes')
    .description('sends a file of outcomes that are learnt later (rejected by a gate, retried, …) to a running collector')
    .argument('<file>', 'JSON lines, or CSV where its name ends so')
    .requiredOption('--collector <URL>', 'the running collector')
    .option('--node <NAME>', 'who tells it', 'outcomes')
    .option('--dry-run', 'check all lines, and send nothing')
    .option('--json', 'what came of it as JSON');
  command.addHelpText('after', HELP);
  addSettings(command, TO_COLLECTOR);
  command.action(async (file: string, flags: Readonly<Record<string, unknown>>) => {
    const collector = String(flags['collector']);
    const faults = faultsOfAddress('--collector', collector);
    const credentials = await keep(faults, () => readSettings(flags, surroundings.environment));
    if (faults.length > 0 || !credentials) throw new UsageError(faults);
    const say = (text: string): void => void surroundings.stderr.write(text);
    const isDry = flags['dryRun'] === true;
    const checked = await checkOutcomes(file);
    const summary: Summary = isDry ? { ...checked, accepted: 0, duplicates: 0 } : await sendAll(file, { collector, credentials, node: String(flags['node']) }, checked.corrections, say);
    if (flags['json'] === true) surroundings.stdout.write(`${JSON.stringify({ file, dryRun: isDry, ...summary }, null, 2)}\n`);
    say(isDry ? `${checked.corrections} outcomes of ${checked.requests} requests can be sent, in ${checked.messages} messages; nothing was.\n` : sentence(summary));
  });
}
