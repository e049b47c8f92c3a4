/** What an operator wants to read when a collector has started, without a secret: where it is, what it keeps how long, and who may ask. */
import { tokenFolderOf, type CollectorSettings } from './settings.js';
import { placeOf } from './store/open.js';
import type { NodeSeen } from './store/store.js';
import { VERSION } from './version.js';

export interface Started {
  readonly version: string;
  readonly address: string;
  readonly store: Readonly<Record<string, string>>;
  readonly tls: 'off' | 'on' | 'on, clients may show a certificate' | 'on, clients must show a certificate';
  /** Who may ask: without token or certificate only this machine, and it may do everything. */
  readonly access: readonly string[];
  /** Absent where the store keeps itself. */
  readonly retention?: { readonly raw: string; readonly minute: string; readonly hour: string };
}

const DAY = 86_400;
const MOST_NAMED = 3;

/** `14d`, `36h`, `forever`. */
function kept(seconds: number | null): string {
  if (seconds === null) return 'forever';
  return seconds % DAY === 0 ? `${seconds / DAY}d` : `${Math.round((seconds / 3600) * 100) / 100}h`;
}

function tlsOf({ tlsCert, tlsClientCa, tlsClientCertificate }: CollectorSettings): Started['tls'] {
  if (tlsCert === undefined) return 'off';
  if (tlsClientCa === undefined) return 'on';
  return tlsClientCertificate === 'required' ? 'on, clients must show a certificate' : 'on, clients may show a certificate';
}

/** @param areKept whether tokens were ever made here */
export function started(settings: CollectorSettings, address: string, areKept: boolean): Started {
  const store = placeOf(settings.store);
  const access = [
    areKept ? [`tokens in ${tokenFolderOf(settings) ?? 'no folder'}`] : [],
    settings.token === undefined ? [] : ['the configured token'],
    settings.tlsClientCa === undefined ? [] : ['certificates of nodes'],
  ].flat();
  return {
    version: VERSION, address, store, tls: tlsOf(settings),
    access: access.length > 0 ? access : ['this machine only: no token is set'],
    ...('file' in store && { retention: { raw: kept(settings.retentionRaw), minute: kept(settings.retentionMinute), hour: kept(settings.retentionHour) } }),
  };
}

/**
 * A collector that asks nobody who they are is for its own machine. One that serves TLS, or holds what other machines have sent, was
 * meant to ask: it may be a backup that was restored without its tokens. (A recording that was imported says of no machine.)
 * @returns what an operator has to know; undefined where all is as it should be
 */
export function lacksTokens(settings: CollectorSettings, nodes: readonly Pick<NodeSeen, 'node' | 'host'>[], hostname: string): string | undefined {
  const others = nodes.filter(({ host }) => host !== null && host.hostname !== hostname).map(({ node }) => node);
  const named = `${others.slice(0, MOST_NAMED).join(', ')}${others.length > MOST_NAMED ? ` and ${others.length - MOST_NAMED} more` : ''}`;
  const reasons = [settings.tlsCert === undefined ? [] : ['it serves TLS'], others.length === 0 ? [] : [`its store has facts of other machines (${named})`]].flat();
  if (reasons.length === 0) return undefined;
  const folder = tokenFolderOf(settings);
  const restored = folder === undefined ? '' : ` (a backup does not hold them: put their folder back as ${folder})`;
  return `no token is set, though ${reasons.join(' and ')}: everybody on this machine, and whomever a proxy on it lets through, may read and send. Restore the tokens${restored} or make one: joulebook token create`;
}
