/** For tests: a real HTTP server that takes alerts, or does not. */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { text } from 'node:stream/consumers';

export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}
export interface Receiver {
  readonly url: string;
  /** What it answered 200 to. */
  readonly taken: readonly Received[];
  readonly all: readonly Received[];
  /** Statuses for the next requests, then 200; 0: it hangs up. */
  answer(...statuses: readonly number[]): void;
  /** Returns when it has taken so many. */
  has(count: number): Promise<void>;
  close(): Promise<void>;
}

export async function receiver(headers: Readonly<Record<string, string>> = {}): Promise<Receiver> {
  const [taken, all]: [Received[], Received[]] = [[], []];
  const statuses: number[] = [];
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const status = statuses.shift() ?? 200;
      const received = { path: request.url ?? '', headers: request.headers, body };
      all.push(received);
      if (status === 0) return request.socket.destroy();
      if (status === 200) taken.push(received);
      return response.writeHead(status, { connection: 'close', ...(status === 302 && { location: '/elsewhere' }), ...headers }).end(() => server.emit('answered'));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`,
    taken,
    all,
    answer: (...next) => void statuses.push(...next),
    async has(count) {
      while (taken.length < count) await once(server, 'answered');
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
