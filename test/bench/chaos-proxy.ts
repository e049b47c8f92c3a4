/**
 * The network of the bench `chaos`, between agents and a collector that comes back under another port:
 *
 *     cut     a connection ends at a random byte of the request or of its answer, or all of them for a while
 *     twice   the collector is given a request two times at the same moment, or again up to 2 s later
 *     stale   it is given some request of long ago once more
 *     slow    answers are held back
 */
import { once, setMaxListeners } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '@joulebook/agent/simulate/random.js';

const REMEMBERED = 500;
const LATER_MS = 2000;
const PATIENCE_MS = 30_000;
const PASSED_ON = ['content-type', 'content-encoding', 'x-joulebook-sent'];

/** How often, 0 to 1, for each request; `slowMs`: the most that an answer is held back. */
export interface Faults {
  readonly cut: number;
  readonly twice: number;
  readonly stale: number;
  readonly slowMs: number;
}
export const NO_FAULTS: Faults = { cut: 0, twice: 0, stale: 0, slowMs: 0 };

interface Sending {
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: Buffer;
}

export interface Proxy {
  readonly address: string;
  /** Requests that were passed on, connections cut, requests sent once more, and how many answers said `duplicate`. */
  readonly counts: { readonly requests: number; readonly cuts: number; readonly repeats: number; readonly duplicates: number };
  /** Address of the collector. */
  target: string;
  faults: Faults;
  /** All connections end, and none is taken until then. */
  down(ms: number): Promise<void>;
  close(): Promise<void>;
}

function sendingOf({ url = '/', headers }: IncomingMessage, body: Buffer): Sending {
  return { path: url, headers: Object.fromEntries(PASSED_ON.flatMap((name) => (typeof headers[name] === 'string' ? [[name, headers[name]] as const] : []))), body };
}

/** The first bytes of it, to the collector and no further. */
async function sendPart(target: string, { path, headers, body }: Sending, share: number): Promise<void> {
  const { hostname, port } = new URL(target);
  const head = [`POST ${path} HTTP/1.1`, `host: ${hostname}:${port}`, `content-length: ${body.length}`, ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n');
  const whole = Buffer.concat([Buffer.from(head), body]);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  socket.write(whole.subarray(0, Math.floor(share * whole.length)), () => socket.destroy());
  await once(socket, 'close');
}

function answerPart(socket: Socket | null, status: number, text: string, share: number): void {
  const whole = `HTTP/1.1 ${status} \r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
  socket?.write(whole.slice(0, Math.floor(share * whole.length)), () => socket.destroy());
}

export async function startProxy(random: Random): Promise<Proxy> {
  const counts = { requests: 0, cuts: 0, repeats: 0, duplicates: 0 };
  const past: Sending[] = [];
  const underWay = new Set<Promise<unknown>>();
  const stop = new AbortController();
  // One for each request that is under way.
  setMaxListeners(0, stop.signal);
  let isDown = false;

  async function send({ path, headers, body }: Sending): Promise<{ status: number; text: string }> {
    const answer = await fetch(`${proxy.target}${path}`, { method: 'POST', headers, body, signal: AbortSignal.any([stop.signal, AbortSignal.timeout(PATIENCE_MS)]) });
    const text = await answer.text();
    if (text.includes('"duplicate":true')) counts.duplicates += 1;
    return { status: answer.status, text };
  }

  /** Nobody waits for its answer, and the collector may be away. */
  function sendMore(sending: Sending, afterMs: number): void {
    counts.repeats += 1;
    const sent = sleep(afterMs, undefined, { signal: stop.signal }).then(() => send(sending)).catch(() => undefined).finally(() => underWay.delete(sent));
    underWay.add(sent);
  }

  async function pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const sending = sendingOf(request, await buffer(request));
    const { cut, twice, stale, slowMs } = proxy.faults;
    counts.requests += 1;
    past[counts.requests % REMEMBERED] = sending;
    if (random.chance(twice)) sendMore(sending, random.chance(0.5) ? 0 : random.between(0, LATER_MS));
    const old = past[Math.floor(random.next() * past.length)];
    if (old && random.chance(stale)) sendMore(old, 0);
    const cutHere = random.chance(cut);
    if (cutHere) counts.cuts += 1;
    if (cutHere && random.chance(0.5)) {
      await sendPart(proxy.target, sending, random.next());
      response.destroy();
      return;
    }
    const { status, text } = await send(sending);
    await sleep(random.between(0, slowMs));
    if (cutHere) answerPart(response.socket, status, text, random.next());
    else response.writeHead(status, { 'content-type': 'application/json' }).end(text);
  }

  const server = createServer((request, response) => void pass(request, response).catch(() => response.destroy()));
  server.on('connection', (socket) => isDown && socket.destroy());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('no address');
  const proxy: Proxy = {
    address: `http://127.0.0.1:${bound.port}`, counts, target: 'http://127.0.0.1:9', faults: NO_FAULTS,
    async down(ms) {
      isDown = true;
      counts.cuts += 1;
      server.closeAllConnections();
      await sleep(ms);
      isDown = false;
    },
    async close() {
      stop.abort();
      server.closeAllConnections();
      server.close();
      await Promise.all(underWay);
    },
  };
  return proxy;
}
