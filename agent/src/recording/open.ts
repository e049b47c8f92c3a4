/** Manifest → opened sources: formats are found by name, every fault is said at once, nothing is read yet. */
import { basename, resolve } from 'node:path';
import { TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import { instant, seconds, type Instant, type Seconds } from '@joulebook/shared/units.js';
import { countingEntries } from '../sources/deployments.js';
import { powerFormats, servingFormats } from '../sources/index.js';
import { named } from '../sources/named.js';
import type { RecordedPower, RecordedServing } from '../sources/source.js';
import { parseInstant, zone } from '../sources/timestamps.js';
import { formatOptions, type PowerEntry, type Recording, type RunsEntry, type ServingEntry } from './manifest.js';

export interface OpenedServing {
  readonly entry: ServingEntry;
  /** Absent for a static role, which has no file. */
  readonly source?: RecordedServing;
  readonly counts: boolean;
}

export interface OpenedRuns {
  readonly entry: RunsEntry;
  readonly file: { readonly file: string; readonly label: string };
  readonly options: Readonly<Record<string, unknown>>;
}

export interface OpenedRecording {
  readonly power: readonly { readonly entry: PowerEntry; readonly source: RecordedPower }[];
  readonly serving: readonly OpenedServing[];
  readonly runs: readonly OpenedRuns[];
  /** Absolute paths of every file, in the order of the manifest. */
  readonly files: readonly string[];
  readonly window: { readonly from?: Instant | undefined; readonly to?: Instant | undefined };
}

const COMMON_KEYS = ['format', 'file', 'tz', 'devices', 'device', 'boundary', 'deployment', 'model', 'role', 'tokens', 'delay'];

/** Every reading moved back in time: to when what it shows happened. */
function earlier(source: RecordedPower, delay: Seconds): RecordedPower {
  return {
    description: source.description,
    async *events() {
      for await (const event of source.events()) yield 'at' in event ? { ...event, at: instant(event.at - delay) } : event;
    },
  };
}

/** @throws UsageError with every fault: unknown formats, missing keys, options a format does not know */
export function openRecording({ manifest, base }: Recording): OpenedRecording {
  const faults: string[] = [];
  const files: string[] = [];
  const attempt = <T>(where: string, open: () => T): T | undefined => {
    try {
      return open();
    } catch (error) {
      if (error instanceof UsageError) faults.push(...error.faults.map((fault) => `${where}: ${fault}`));
      else if (error instanceof TelemetryError && error.code === 'TIMEZONE') faults.push(`${where}: ${error.message}`);
      else throw error;
      return undefined;
    }
  };
  const fileOf = (path: string): { file: string; label: string } => {
    const file = resolve(base, path);
    files.push(file);
    return { file, label: basename(path) };
  };

  const power = manifest.power.flatMap((entry, index) => {
    const source = attempt(`power[${index}]`, () => {
      const format = named('format', powerFormats, entry.format);
      const { tz, devices, device, boundary } = entry;
      return format.open({ file: fileOf(entry.file), tz, ...(devices && { devices }), ...(device && { device }), ...(boundary && { boundary }) }, formatOptions(entry, COMMON_KEYS));
    });
    return source ? [{ entry, source: entry.delay === undefined ? source : earlier(source, seconds(entry.delay)) }] : [];
  });

  const counting = countingEntries(manifest.serving.map((entry) => ({ ...entry, kind: entry.format, tokensFrom: servingFormats.find(({ name }) => name === entry.format)?.tokensFrom })), faults);
  const serving = manifest.serving.flatMap((entry, index): OpenedServing[] => {
    if (entry.format === 'role') {
      if (!entry.role) faults.push(`serving[${index}]: format role needs 'role: prefill' or 'role: decode'`);
      return [{ entry, counts: false }];
    }
    const source = attempt(`serving[${index}]`, () => {
      const format = named('format', servingFormats, entry.format);
      if (entry.file === undefined) throw new UsageError([`format ${entry.format} needs a file`]);
      const { tz, deployment, model } = entry;
      return format.open({ file: fileOf(entry.file), tz, deployment, ...(model && { model }) }, formatOptions(entry, COMMON_KEYS));
    });
    return source ? [{ entry, source, counts: counting.has(index) }] : [];
  });

  const runs = manifest.runs.map((entry) => ({ entry, file: fileOf(entry.file), options: formatOptions(entry, COMMON_KEYS) }));
  const window = attempt('window', () => {
    const utc = zone('UTC');
    const moment = (key: 'from' | 'to'): Instant | undefined => {
      const text = manifest.window?.[key];
      if (text === undefined) return undefined;
      const at = parseInstant(text, utc);
      if (at === undefined) throw new UsageError([`${key}: '${text}' is not a time; write 2024-07-17T09:52:23.554Z or epoch seconds`]);
      return at;
    };
    return { from: moment('from'), to: moment('to') };
  });
  if (faults.length > 0) throw new UsageError(faults);
  return { power, serving, runs, files, window: window ?? {} };
}
