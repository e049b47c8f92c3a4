/** `joulebook outcomes` against a running collector: what comes of a file, sent once, twice, in part, with faults and without a right to. */
import { createServer, type RequestListener } from 'node:http';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fromEpochMicros, seconds } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { runningCollector, type RunningCollector } from '../collector.testing.js';
import { at, batchOf, iso, requestsFact } from '../store/sample-facts.js';
import { said } from './program.testing.js';

let folder: string;
let running: RunningCollector | undefined;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'joulebook-outcomes-'))));
afterEach(async () => {
  await running?.close();
  running = undefined;
  await rm(folder, { recursive: true });
});

const begin = async (flags = {}): Promise<RunningCollector> => (running = await runningCollector(flags, { wall: () => fromEpochMicros(at(1000)), monotonic: () => seconds(performance.now() / 1000) }));
const rejected = (said_: object = {}) => ({ at: iso(12), was: 'ok', outcome: 'rejected', deployment: 'chat', model: 'llama', inputTokens: 10, outputTokens: 20, ...said_ });
async function file(name: string, text: string | readonly object[]): Promise<string> {
  await writeFile(join(folder, name), typeof text === 'string' ? text : `${text.map((line) => JSON.stringify(line)).join('\n')}\n`);
  return join(folder, name);
}
const outcomes = (path: string, ...more: string[]) => said(['outcomes', path, '--collector', running?.address ?? 'http://127.0.0.1:1', ...more]);
const summary = z.object({ corrections: z.number(), requests: z.number(), messages: z.number(), accepted: z.number(), duplicates: z.number(), dryRun: z.boolean() });
const counts = async (query = ''): Promise<Record<string, number | null>> => z.looseObject({ total: z.looseObject({ requests: z.record(z.string(), z.number().nullable()) }) }).parse(await (await fetch(`${running?.address}/v1/report?${query}`)).json()).total.requests;

it('takes requests from one outcome to another, once, however often the file is sent', async () => {
  const { store } = await begin();
  await store.append(batchOf([requestsFact({ from: 10, to: 20, requests: 5000, inputTokens: 50_000, outputTokens: 100_000 })]));
  // Lines that are alike are as many outcomes; those of other deployments go with them.
  const path = await file('gate.jsonl', [...Array.from({ length: 2300 }, () => rejected()), rejected({ deployment: 'code', requests: 3 })]);
  const { code, out, err } = await outcomes(path, '--json');
  expect([code, err]).toEqual([0, '2301 outcomes of 2303 requests are in.\n']);
  expect(summary.parse(JSON.parse(out))).toEqual({ corrections: 2301, requests: 2303, messages: 3, accepted: 3, duplicates: 0, dryRun: false });
  expect(await counts()).toMatchObject({ ok: 2697, rejected: 2303 });
  expect(await counts('where=deployment%3Dcode')).toMatchObject({ ok: -3, rejected: 3 });
  expect(await outcomes(path)).toEqual({ code: 0, out: '', err: '2301 outcomes of 2303 requests are in; all of them were in already, and nothing has changed.\n' });
  expect(await counts()).toMatchObject({ ok: 2697, rejected: 2303 });
});

it('reads CSV as it reads JSON: the same file in the other form is in already', async () => {
  await begin();
  const csv = await file('gate.CSV', `at,was,outcome,deployment,model,inputTokens,outputTokens,ttft,tenant,label.release\n${iso(12)},ok,rejected,chat,llama,10,20,0.4,,"r, 1"\n${iso(13)},ok,fallback,chat,llama,1,2,,gold,\n`);
  expect(await outcomes(csv)).toMatchObject({ code: 0, err: '2 outcomes of 2 requests are in.\n' });
  const lines = await file('gate.jsonl', [rejected({ ttft: 0.4, labels: { release: 'r, 1' } }), rejected({ at: iso(13), outcome: 'fallback', inputTokens: 1, outputTokens: 2, tenant: 'gold' })]);
  expect(await outcomes(lines)).toMatchObject({ code: 0, err: expect.stringContaining('in already') as unknown });
});

it('goes on where it was interrupted, and waits for a collector that is busy', async () => {
  const { address } = await begin();
  const path = await file('gate.jsonl', Array.from({ length: 3500 }, (_, index) => rejected({ inputTokens: index })));
  let seen = 0;
  const answers: RequestListener = (request, response) => {
    seen += 1;
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => void chunks.push(chunk)).on('end', () => {
      if (seen === 2) response.writeHead(503, { 'content-type': 'application/json' }).end('{"message":"busy"}');
      else if (seen > 3) request.socket.destroy();
      else void fetch(`${address}${request.url}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: Buffer.concat(chunks) }).then(async (answer) => response.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text()));
    });
  };
  const proxy = createServer(answers);
  const port = await new Promise<number>((resolve) => void proxy.listen(0, '127.0.0.1', () => { const bound = proxy.address(); resolve(typeof bound === 'object' && bound ? bound.port : 0); }));
  try {
    const first = await said(['outcomes', path, '--collector', `http://127.0.0.1:${port}`]);
    expect(first).toMatchObject({ code: 1, err: expect.stringMatching(/gate\.jsonl, lines 2001–3000: The collector at .* does not answer.* 2000 lines are in; send the file again/) as unknown });
  } finally {
    proxy.closeAllConnections();
    proxy.close();
  }
  expect(await outcomes(path)).toMatchObject({ code: 0, err: '3500 outcomes of 3500 requests are in; of 4 messages 2 were in already.\n' });
  expect(await counts()).toMatchObject({ rejected: 3500, ok: -3500 });
});

it('counts nothing twice of a file that was added to or changed, and says what to do', async () => {
  await begin();
  const lines = Array.from({ length: 1200 }, (_, index) => rejected({ inputTokens: index }));
  await outcomes(await file('gate.jsonl', lines));
  expect(await outcomes(await file('gate.jsonl', [...lines, rejected()]))).toMatchObject({ code: 1, err: expect.stringMatching(/lines 1001–1201: .*was sent before with other lines here.*send the lines that are new in a file of their own/) as unknown });
  expect(await outcomes(await file('gate.jsonl', lines.with(500, rejected({ inputTokens: 7 }))))).toMatchObject({ code: 1, err: expect.stringContaining('lines 1–1000') as unknown });
  expect(await counts()).toMatchObject({ rejected: 1200 });
});

describe('sends nothing', () => {
  it('of a file that has a fault, and names every one with its line', async () => {
    await begin();
    const { code, out, err } = await outcomes(await file('bad.jsonl', `${JSON.stringify(rejected())}\n{"at":\n\n${JSON.stringify(rejected({ at: 'noon', outcome: 'ok' }))}\n${JSON.stringify(rejected({ deployment: undefined, prompt: 'secret' }))}\n${JSON.stringify(rejected({ deployment: undefined }))}\n`));
    expect([code, out]).toEqual([1, '']);
    for (const part of ['bad.jsonl is not sent', 'line 2: not JSON', "line 4.at: 'noon' is not a time", "line 5: 'prompt' is not a setting here", 'line 6.deployment: say of which']) expect(err).toContain(part);
    expect(err).not.toContain('secret');
    expect(await counts()).toMatchObject({ ok: null });
    const csv = await outcomes(await file('bad.csv', `at,was,outcome,deployment,inputTokens,outputTokens\n${iso(1)},ok,rejected,chat,10,20\n${iso(1)},ok,rejected,chat,,-20\n`));
    expect(csv).toMatchObject({ code: 1, err: expect.stringMatching(/line 3\.inputTokens: .*\n.*line 3\.outputTokens: /) as unknown });
    expect(await outcomes(await file('many.jsonl', Array.from({ length: 30 }, () => ({}))))).toMatchObject({ err: expect.stringMatching(/line 1\.at.*[\s\S]*and \d+ more\n$/) as unknown });
  });

  it('of what is no file of outcomes', async () => {
    await begin();
    expect(await outcomes(join(folder, 'gone.jsonl'))).toMatchObject({ code: 1, err: expect.stringContaining('ENOENT') as unknown });
    expect(await outcomes(join(folder, 'gone.csv'))).toMatchObject({ code: 1, err: expect.stringContaining('ENOENT') as unknown });
    expect(await outcomes(await file('empty.jsonl', '\n\n'))).toMatchObject({ code: 1, err: expect.stringContaining('has no outcome in it') as unknown });
    expect(await outcomes(await file('long.jsonl', 'x'.repeat(300_000)))).toMatchObject({ code: 1, err: expect.stringContaining('a line is longer than 65536 bytes') as unknown });
    expect(await outcomes(await file('long.csv', `at,was\n"${'x'.repeat(300_000)}`))).toMatchObject({ code: 1, err: expect.stringContaining("can't be read") as unknown });
    expect(await outcomes(await file('uneven.csv', 'at,was\n1,2,3\n'))).toMatchObject({ code: 1, err: expect.stringMatching(/line 2/) as unknown });
    expect(await outcomes('x.jsonl', '--collector', 'nowhere')).toMatchObject({ code: 2, err: expect.stringContaining('--collector') as unknown });
  });

  it('in a dry run, which needs no collector', async () => {
    const path = await file('gate.jsonl', Array.from({ length: 1001 }, () => rejected({ requests: 2 })));
    const { code, out, err } = await said(['outcomes', path, '--collector', 'http://127.0.0.1:1', '--dry-run', '--json']);
    expect([code, err]).toEqual([0, '1001 outcomes of 2002 requests can be sent, in 2 messages; nothing was.\n']);
    expect(summary.parse(JSON.parse(out))).toEqual({ corrections: 1001, requests: 2002, messages: 2, accepted: 0, duplicates: 0, dryRun: true });
  });
});

it('needs a token that may write for its node', async () => {
  const tokens = join(folder, 'tokens');
  const made = async (scope: string): Promise<string> => (await said(['token', 'create', '--token-folder', tokens, '--scope', scope])).out.trim().split(/\s+/).find((word) => word.startsWith('jb_')) ?? '';
  const [gate, other] = [await made('ingest:gate'), await made('ingest:gpu-01')];
  await begin({ tokenFolder: tokens });
  const path = await file('gate.jsonl', [rejected()]);
  expect(await outcomes(path, '--node', 'gate', '--token', gate)).toMatchObject({ code: 0 });
  expect(await outcomes(path, '--node', 'gate')).toMatchObject({ code: 1, err: expect.stringContaining('Say it with --token or JOULEBOOK_TOKEN') as unknown });
  const foreign = await said(['outcomes', path, '--collector', running?.address ?? '', '--node', 'gate'], { environment: { JOULEBOOK_TOKEN: other } });
  expect(foreign).toMatchObject({ code: 1, err: expect.stringContaining("may not write facts of node 'gate'") as unknown });
  expect(foreign.err).not.toContain(other);
});

it('says how far it is', async () => {
  await begin();
  const path = await file('many.jsonl', Array.from({ length: 10_500 }, (_, index) => rejected({ inputTokens: index })));
  expect((await outcomes(path)).err).toBe('10000 of 10500 outcomes are in.\n10500 outcomes of 10500 requests are in.\n');
});
