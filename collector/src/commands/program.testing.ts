/** `joulebook` in this process: commands with their arguments, what they say and end with; and one that serves until it is stopped. */
import { EventEmitter, once } from 'node:events';
import { Readable, Writable } from 'node:stream';
import { run } from './program.js';

export interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface Given {
  readonly stdin?: string;
  readonly environment?: NodeJS.ProcessEnv;
}

class Text extends Writable {
  text = '';
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString();
    this.emit('said');
    done();
  }
}

export async function said(argv: readonly string[], { stdin = '', environment = {} }: Given = {}): Promise<Said> {
  const [stdout, stderr] = [new Text(), new Text()];
  const code = await run(argv, { environment, stdin: Readable.from([Buffer.from(stdin)]), stdout, stderr, untilStopped: () => Promise.resolve() });
  return { code, out: stdout.text, err: stderr.text };
}

export interface Serving {
  readonly address: string;
  readonly port: number;
  /** All of stderr. */
  said(): string;
  /** As SIGHUP; returns when it has said so. */
  reload(until: string): Promise<void>;
  /** As SIGTERM. */
  stop(): Promise<Pick<Said, 'code' | 'out'>>;
}

/** `joulebook serve` on a free port of 127.0.0.1, with a stop and a reload instead of signals. */
export async function serve(argv: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Serving> {
  const events = new EventEmitter();
  const [stdout, stderr] = [new Text(), new Text()];
  const until = async (pattern: RegExp, from = 0): Promise<RegExpExecArray> => {
    for (;;) {
      const found = pattern.exec(stderr.text.slice(from));
      if (found) return found;
      await once(stderr, 'said');
    }
  };
  const code = run(['serve', '--listen', '127.0.0.1:0', ...argv], {
    environment, stdin: Readable.from([]), stdout, stderr,
    untilStopped: async () => void (await once(events, 'stop')),
    onReload: (listener) => events.on('reload', listener),
  });
  const ended = code.then((value) => Promise.reject(new Error(`serve ended with ${value}: ${stderr.text}`)));
  ended.catch(() => undefined);
  const [, address = '', port] = await Promise.race([until(/Joulebook is at (https?:\/\/127\.0\.0\.1:(\d+))/), ended]);
  return {
    address, port: Number(port), said: () => stderr.text,
    async reload(what) {
      const from = stderr.text.length;
      events.emit('reload');
      await until(new RegExp(what.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')), from);
    },
    async stop() {
      events.emit('stop');
      return { code: await code, out: stdout.text };
    },
  };
}
