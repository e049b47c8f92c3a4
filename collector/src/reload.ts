/**
 * SIGHUP: the settings are read again. What is read where it is used holds from now on; what a collector was built with needs a
 * restart, and is named. Settings that can't be used change nothing. A flag and the environment still beat the file.
 */
import { isDeepStrictEqual } from 'node:util';
import type { FastifyBaseLogger } from 'fastify';
import { messageOf, UsageError } from '@joulebook/shared/errors.js';
import { RELOADED, SERVED, type CollectorSettings } from './settings.js';

type Name = (typeof SERVED)[number];

/**
 * @param isBookNew its text is another, or that of a series that it names
 * @returns the names of what has changed in the running settings
 */
export function takeOver(running: CollectorSettings, next: CollectorSettings, log: FastifyBaseLogger, isBookNew = false): readonly Name[] {
  const differing = SERVED.filter((name) => !isDeepStrictEqual(running[name], next[name]));
  const taken = RELOADED.filter((name) => differing.includes(name));
  const left = differing.filter((name) => !taken.some((each) => each === name));
  const values = Object.fromEntries(taken.map((name) => [name, next[name] ?? null]));
  Object.assign(running, Object.fromEntries(taken.map((name) => [name, next[name]])));
  log.level = running.logLevel;
  // Somebody asked for it: they are answered whatever the level is.
  const answer = log.child({}, running.logLevel === 'silent' ? {} : { level: 'info' });
  if (left.length > 0) answer.warn({ code: 'RESTART_NEEDED', settings: left }, `${left.join(', ')} changed: restart to apply; until then what was set before holds`);
  if (isBookNew) answer.info({ book: next.book ?? null }, 'the settings and the book were read again; the book has changed, and holds from now on');
  if (taken.length > 0 || !isBookNew) answer.info(taken.length > 0 ? { settings: values } : {}, taken.length > 0 ? 'the settings were read again; the collector goes on with them' : 'the settings were read again; nothing has changed that holds without a restart');
  return taken;
}

/**
 * @param load reads the settings as they are now; @throws UsageError
 * @returns what to call whenever somebody asks; one after the other, and it never throws
 */
export function reloader(load: () => Promise<CollectorSettings>, collector: { reload(settings: CollectorSettings): Promise<void> }, log: FastifyBaseLogger): () => void {
  let last = Promise.resolve();
  const reload = async (): Promise<void> => {
    try {
      await collector.reload(await load());
    } catch (error) {
      log.error({ code: 'RELOAD_REFUSED', faults: error instanceof UsageError ? error.faults : [messageOf(error)] }, 'the settings can not be used; those of before hold on');
    }
  };
  return () => void (last = last.then(reload));
}
