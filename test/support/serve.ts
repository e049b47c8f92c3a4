/** `joulebook serve` in this process: the command itself, with its arguments, what it says, and a stop and a reload instead of signals. */
import { EventEmitter, once } from 'node:events';
import { Readable, Writable } from 'node:stream';
import { run } from '@joulebook/collector/commands/program.js';

export interface Serving {
  readonly address: string;
  readonly port: number;
  /** All of stderr. */
  said(): string;
  /** As SIGHUP; returns when it has said so. */
  reload(until: string): Promise<void>;
  stop(): Promise<void>;
}

/** On a free port of 127.0.0.1. */
export async function serve(argv: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Serving> {
  const events = new EventEmitter();
  let text = '';
  const stderr = new Writable({ write(chunk: Buffer, _encoding, done) { text += chunk.toString(); events.emit('said'); done(); } });
  const until = async (pattern: RegExp): Promise<RegExpExecArray> => {
    for (;;) {
      const found = pattern.exec(text);
      if (found) return found;
      await once(events, 'said');
    }
  };
  const code = run(['serve', '--listen', '127.0.0.1:0', ...argv], {
    environment, stdin: Readable.from([]), stdout: new Writable({ write: (_chunk, _encoding, done) => done() }), stderr,
    untilStopped: async () => void (await once(events, 'stop')),
    onReload: (listener) => events.on('reload', listener),
  });
  const ended = code.then((value) => Promise.reject(new Error(`serve ended with ${value}: ${text}`)));
  ended.catch(() => undefined);
  const [, address = '', port] = await Promise.race([until(/Joulebook is at (https?:\/\/127\.0\.0\.1:(\d+))/), ended]);
  return {
    address, port: Number(port), said: () => text,
    async reload(what) {
      events.emit('reload');
      await until(new RegExp(what.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')));
    },
    async stop() {
      events.emit('stop');
      await code;
    },
  };
}
