/**
 * What to ask nvidia-smi for. One name that it does not know ends the whole query (exit code 2), so it is asked first
 * which names it knows: `--help-query-gpu` lists them as `"name" or "other name"`, one property per paragraph.
 */
import type { Seconds } from '@joulebook/shared/units.js';
import { MODULE_COLUMNS, THROTTLE_COLUMNS } from './nvidia-smi-row.js';
import { runProgram } from '../../program.js';

/** Known to every driver in use. */
export const BASIC_FIELDS = 'timestamp,index,uuid,name,power.draw,utilization.gpu,temperature.gpu,clocks.sm,memory.used';

/** Since driver 530, 590 and always. */
const MORE_FIELDS = ['power.draw.average', 'power.draw.instant', ...MODULE_COLUMNS, 'serial', 'enforced.power.limit', 'clocks.max.sm'];

/** @returns undefined when it does not say, as without a working driver: it is to be asked again */
export async function askedFields(command: string, environment: NodeJS.ProcessEnv, limit: Seconds, signal?: AbortSignal): Promise<string | undefined> {
  const ran = await runProgram(command, ['--help-query-gpu'], { environment, limit, ...(signal && { signal }) });
  return ran.kind === 'ended' && ran.exitCode === 0 ? fieldsKnown(ran.stdout) : undefined;
}

/** @returns undefined when the text is no such list */
export function fieldsKnown(help: string): string | undefined {
  const known = new Set([...help.matchAll(/^"[^"\n]+"(?: or "[^"\n]+")*/gm)].flatMap(([line]) => [...line.matchAll(/"([^"]+)"/g)].map(([, name]) => name)));
  if (!known.has('power.draw')) return undefined;
  const throttle = THROTTLE_COLUMNS.find((name) => known.has(name));
  const more = MORE_FIELDS.filter((name) => known.has(name));
  return [BASIC_FIELDS, ...more, ...(throttle === undefined ? [] : [throttle])].join(',');
}
