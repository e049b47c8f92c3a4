/**
 * Agent and collector as a user runs them, on loopback, with a stand-in for nvidia-smi, and between them a proxy that keeps
 * whatever the agent sends:
 *
 *     agent ──▶ proxy (503 until it is opened) ──▶ collector
 */
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { delimiter, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { execa } from 'execa';
import { installStandIn } from './install-stand-in.js';
import { AGENT, COLLECTOR } from './pipe.js';
import { reportSchema, type Report } from './report.js';

const launch = (args: readonly string[], environment: Record<string, string>) => execa(process.execPath, args, { reject: false, env: environment });
type Child = ReturnType<typeof launch>;

export interface LiveStack {
  /** What the agent sent so far, as text: accepted or not. */
  readonly sent: readonly string[];
  /** What the agent logged. */
  agentLog(): string;
  /** The spool on disk as text: its records are gzip. */
  spooled(): Promise<string>;
  /** From now on the collector can be reached. */
  open(): void;
  report(query: Readonly<Record<string, string>>): Promise<Report>;
  /** @returns the agent's exit code */
  stopAgent(): Promise<number | undefined>;
  close(): Promise<void>;
}

/** @param settings of the agent, in YAML, besides its node and folders */
export async function liveStack(directory: string, settings: string): Promise<LiveStack> {
  await installStandIn(directory);
  const sent: string[] = [];
  let open = false;
  let agentSaid = '';

  const collector = launch([COLLECTOR, 'serve', '--store', join(directory, 'store.duckdb'), '--listen', '127.0.0.1:0'], {});
  const address = await addressOf(collector);
  const proxy: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      sent.push(request.headers['content-encoding'] === 'gzip' ? gunzipSync(body).toString() : body.toString());
      if (!open) {
        response.writeHead(503, { 'retry-after': '1' }).end();
        return;
      }
      void forward(`${address}${request.url ?? ''}`, request.headers, body).then(({ status, answer }) => response.writeHead(status, { 'content-type': 'application/json' }).end(answer));
    });
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const listening = proxy.address();
  if (listening === null || typeof listening === 'string') throw new Error('no address');

  const config = join(directory, 'agent.yaml');
  const data = join(directory, 'agent');
  await writeFile(config, `node: e2e\nslice: 1s\ndataDir: ${data}\ncollectorUrl: http://127.0.0.1:${listening.port}\nlogLevel: debug\n${settings}`);
  const agent = launch([AGENT, 'run', '--config', config], { PATH: `${directory}${delimiter}${process.env['PATH'] ?? ''}` });
  for (const stream of [agent.stdout, agent.stderr]) stream.on('data', (chunk: Buffer) => (agentSaid += chunk.toString()));

  return {
    sent,
    agentLog: () => agentSaid,
    spooled: () => textOf(join(data, 'spool')),
    open: () => (open = true),
    async report(query) {
      const response = await fetch(`${address}/v1/report?${new URLSearchParams(query).toString()}`);
      return reportSchema.parse(await response.json());
    },
    async stopAgent() {
      agent.kill('SIGTERM');
      return (await agent).exitCode;
    },
    async close() {
      for (const child of [agent, collector]) {
        child.kill('SIGTERM');
        await child;
      }
      proxy.closeAllConnections();
      proxy.close();
    },
  };
}

function addressOf(collector: Child): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = '';
    const read = (chunk: Buffer): void => {
      said += chunk.toString();
      const found = /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0];
      if (found) resolve(found);
    };
    collector.stdout.on('data', read);
    collector.stderr.on('data', read);
    void collector.then(({ exitCode }) => reject(new Error(`the collector ended with ${exitCode}: ${said}`)));
  });
}

async function forward(url: string, headers: Readonly<Record<string, string | string[] | undefined>>, body: Buffer): Promise<{ status: number; answer: string }> {
  const kept = ['content-type', 'content-encoding', 'authorization'].flatMap((name) => (typeof headers[name] === 'string' ? [[name, headers[name]] as const] : []));
  const response = await fetch(url, { method: 'POST', headers: Object.fromEntries(kept), body });
  return { status: response.status, answer: response.body ? await text(response.body) : '' };
}

const GZIP = Buffer.from([0x1f, 0x8b, 0x08]);

/** Every file as it is, and inflated from wherever something gzipped begins. */
async function textOf(folder: string): Promise<string> {
  const parts: string[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const bytes = await readFile(join(entry.parentPath, entry.name));
    parts.push(bytes.toString('latin1'));
    for (let at = bytes.indexOf(GZIP); at >= 0; at = bytes.indexOf(GZIP, at + 1)) parts.push(inflated(bytes.subarray(at)));
  }
  return parts.join('\n');
}

function inflated(bytes: Buffer): string {
  try {
    return gunzipSync(bytes).toString();
  } catch {
    return '';
  }
}
