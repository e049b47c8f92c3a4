/**
 * SIGHUP: the settings are read again. They are looked at in full, their sources and certificates too, before anything that runs
 * is touched: what can't be used is said, and the agent goes on as it was. A flag and the environment still beat the file.
 */
import { isDeepStrictEqual } from 'node:util';
import { messageOf, UsageError } from '@joulebook/shared/errors.js';
import { collectorsOf, openSources, type AgentValues, type Sources } from '../configured.js';
import type { AgentMetrics } from '../metrics/metrics.js';
import { readTls } from '../shipper/tls.js';
import type { Hangups, Log } from './process.js';

/** What one life of the pipeline runs with. */
export interface Configured {
  readonly settings: AgentValues;
  readonly sources: Sources;
}

interface Reloading {
  /** @throws UsageError */
  readonly load: () => Promise<AgentValues>;
  readonly hangups: Hangups;
  readonly metrics: Pick<AgentMetrics, 'reloaded'>;
  readonly log: Log;
}

/** Another folder would leave behind what is spooled; the page outlives the pipeline. */
const FIXED = ['dataDir', 'metricsListen', 'metricsToken'] as const satisfies readonly (keyof AgentValues)[];

/**
 * Waits for settings that differ and that the pipeline must be begun anew for.
 * @returns undefined when the signal aborts before
 */
export async function reconfigured(running: AgentValues, { load, hangups, metrics, log: { log, setLevel } }: Reloading, signal: AbortSignal): Promise<Configured | undefined> {
  let current = running;
  while (await hangups.next(signal)) {
    try {
      const settings = await load();
      const fixed = FIXED.filter((name) => !isDeepStrictEqual(settings[name], current[name]));
      if (fixed.length > 0) throw new UsageError(fixed.map((name) => `${name}: can not change while the agent runs; restart it`));
      const isSame = isDeepStrictEqual({ ...settings, logLevel: current.logLevel }, current);
      if (isSame) {
        const result = settings.logLevel === current.logLevel ? 'unchanged' : 'applied';
        setLevel(settings.logLevel);
        current = settings;
        metrics.reloaded(result);
        log.info(result === 'unchanged' ? 'the settings were read again; nothing has changed' : 'the settings were read again; only the log level has changed');
        continue;
      }
      readTls(collectorsOf(settings).tls ?? {});
      const sources = await openSources(settings, log);
      setLevel(settings.logLevel);
      metrics.reloaded('applied');
      log.info('the settings were read again; the agent goes on with them');
      return { settings, sources };
    } catch (error) {
      metrics.reloaded('refused');
      log.warn('the settings can not be used; those of before hold on', { code: 'RELOAD_REFUSED', faults: error instanceof UsageError ? error.faults : [messageOf(error)] });
    }
  }
  return undefined;
}
