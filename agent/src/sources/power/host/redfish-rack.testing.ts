/** Documents of a server of one rack unit, and a live source that reads them from a loopback controller. */
import { seconds } from '@joulebook/shared/units.js';
import type { LivePower, PowerEvent } from '../../source.js';
import { readingsOf } from '../live.testing.js';
import { collection, link, WATCHER, type Certificate, type RedfishServer } from './redfish-server.testing.js';
import { redfish, type RedfishOptions } from './redfish.js';

export const CHASSIS = '/redfish/v1/Chassis';
export const METRICS = `${CHASSIS}/1U/EnvironmentMetrics`;
export const POWER = `${CHASSIS}/1U/Power`;
export const rack = (links: object): Record<string, object> => ({ [CHASSIS]: collection(`${CHASSIS}/1U`), [`${CHASSIS}/1U`]: { ChassisType: 'RackMount', ...links } });
export const environment = (watts: unknown, more: object = {}): object => ({ '@odata.type': '#EnvironmentMetrics.v1_3_0.EnvironmentMetrics', PowerWatts: { Reading: watts }, ...more });
export const WITH_METRICS = { ...rack({ EnvironmentMetrics: link(METRICS) }), [METRICS]: environment(374) };

export const sensor = (name: string): string => `${CHASSIS}/1U/Sensors/${name}`;
export const few = (count: number) => (events: readonly PowerEvent[]) => readingsOf(events).length >= count;

export const sourceOf = ({ url }: RedfishServer, { file }: Certificate, options: Partial<RedfishOptions> = {}): LivePower =>
  redfish({ url, ...WATCHER, login: 'session', ca: file, insecure: false, device: 'server', gpus: 'no', period: seconds(0.05), timeout: seconds(5), token: undefined, fingerprint: undefined, chassis: undefined, ...options });

export function setDocuments({ documents }: RedfishServer, all: Readonly<Record<string, object>>): void {
  documents.clear();
  for (const [path, document] of Object.entries(all)) documents.set(path, document);
}
