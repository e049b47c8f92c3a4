import { seconds } from '@joulebook/shared/units.js';
import { expect, it } from 'vitest';
import { failover } from './failover.js';
import type { SendOutcome, Transport } from './transport.js';

const ACCEPTED: SendOutcome = { kind: 'accepted' };
const retry = (code: string, after?: number): SendOutcome => ({ kind: 'retry', code, reason: code, ...(after !== undefined && { after: seconds(after) }) });
const AWAY = retry('COLLECTOR_UNREACHABLE');

/** Answers as it is told to, and says what it was sent. */
function collectors(names: readonly string[]) {
  const answers = new Map<string, SendOutcome>(names.map((name) => [name, ACCEPTED]));
  const sent: string[] = [];
  const switched: string[] = [];
  const time = { now: 0 };
  const transports = names.map((name): Transport => ({
    description: name,
    async send(batch) {
      sent.push(`${name}${Buffer.from(batch).toString()}`);
      return answers.get(name) ?? AWAY;
    },
    close: () => Promise.resolve(),
  }));
  const all = failover(transports, { backAfter: seconds(60), clock: { monotonic: () => seconds(time.now) }, switched: ({ description }) => switched.push(description) });
  const send = (batch: string): Promise<SendOutcome> => all.send(Buffer.from(batch), new AbortController().signal);
  return { answers, sent, switched, time, send, all };
}

it('goes to the next at once, keeps to it, and goes back after a while', async () => {
  const { answers, sent, switched, time, send } = collectors(['a', 'b', 'c']);
  await send('1');
  answers.set('a', AWAY);
  expect(await send('2')).toEqual(ACCEPTED);
  await send('3');
  time.now = 59;
  await send('4');
  time.now = 61;
  await send('5');
  await send('6');
  answers.set('a', ACCEPTED);
  time.now = 122;
  await send('7');
  await send('8');
  expect(sent).toEqual(['a1', 'a2', 'b2', 'b3', 'b4', 'a5', 'b5', 'b6', 'a7', 'a8']);
  expect(switched).toEqual(['b', 'a']);
});

it('tries all of them once, and tells what each said and the shortest wait', async () => {
  const { answers, sent, send, all } = collectors(['a', 'b']);
  answers.set('a', retry('COLLECTOR_REFUSES_TOKEN', 60));
  answers.set('b', retry('COLLECTOR_BUSY', 5));
  expect(await send('1')).toEqual({ kind: 'retry', code: 'COLLECTOR_REFUSES_TOKEN', reason: 'a: COLLECTOR_REFUSES_TOKEN; b: COLLECTOR_BUSY', after: 5 });
  expect(sent).toEqual(['a1', 'b1']);
  expect(all.description).toBe('a, b');
});

it('stays where it is asked to slow down, and where a batch is rejected', async () => {
  const { answers, sent, send } = collectors(['a', 'b']);
  answers.set('a', retry('COLLECTOR_LIMITS', 5));
  expect(await send('1')).toMatchObject({ code: 'COLLECTOR_LIMITS' });
  answers.set('a', { kind: 'rejected', code: 'BATCH_REJECTED', reason: 'no' });
  expect(await send('2')).toMatchObject({ kind: 'rejected' });
  expect(sent).toEqual(['a1', 'a2']);
});
