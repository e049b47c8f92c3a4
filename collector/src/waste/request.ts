/** What may be asked of `waste`, from a command line or a query string: unknown text in, a question or every fault at once out. */
import { UsageError } from '@joulebook/shared/errors.js';
import { keyName } from '../join/flags.js';
import { parseRequest, type Defaults, type ReportRequest, type Said } from '../report/request.js';
import type { Key } from '../store/store.js';

export const WASTE_OPTIONS = ['from', 'to', 'by', 'where', 'price', 'pue', 'carbon', 'slo'] as const;
export const isWasteOption = (name: string): boolean => WASTE_OPTIONS.some((known) => known === name);
const KEYS = ['deployment', 'model', 'node', 'device', 'site'] as const;
const BY = ['deployment', 'node', 'device'] as const;

/** Labels, and what both a GPU and what runs on it have. */
const isOfWaste = (key: Key): boolean => typeof key !== 'string' || KEYS.some((known) => known === key);

/** The same time and place as those of a report; undefined where it asks for what waste is not told by. */
export const wasteBeside = (request: ReportRequest): ReportRequest | undefined =>
  request.where.every(({ key }) => isOfWaste(key)) ? { ...request, by: BY, step: undefined, basis: 'all', boundary: 'gpu' } : undefined;

/**
 * @param prefix what stands before an option's name in faults
 * @throws UsageError with every fault
 */
export function parseWaste(said: Said, defaults: Defaults, prefix: '--' | ''): ReportRequest {
  const faults = Object.keys(said).filter((name) => !isWasteOption(name)).map((name) => `${prefix}${name}: unknown here; known are ${WASTE_OPTIONS.join(', ')}`);
  try {
    const request = parseRequest(Object.fromEntries(Object.entries(said).filter(([name]) => isWasteOption(name))), defaults, prefix);
    const asked = [...request.by.map((key) => ['by', key] as const), ...request.where.map(({ key }) => ['where', key] as const)];
    faults.push(...asked.filter(([, key]) => !isOfWaste(key)).map(([option, key]) => `${prefix}${option}: waste is not told by ${keyName(key)}; write ${KEYS.join(', ')} or a label`));
    if (faults.length === 0) return { ...request, by: request.by.length > 0 ? request.by : BY, boundary: 'gpu' };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    faults.push(...error.faults);
  }
  throw new UsageError(faults);
}
