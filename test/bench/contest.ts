/** What one contender cost, as it says of itself on its last line. */
import { z } from 'zod';

/** CLK_TCK: the unit of times in /proc, 100 a second for every program on Linux. */
export const TICKS_PER_SECOND = 100;

export const cost = z.object({
  /** Of the process and of all it started and waited for, since its first reading. */
  cpuSeconds: z.number(),
  /** The same up to its first reading: starting Node, loading modules, opening. */
  startSeconds: z.number(),
  /** Since its first reading. */
  wallSeconds: z.number(),
  rssMiB: z.number(),
  rounds: z.int(),
  missed: z.int(),
  readings: z.int(),
});
export type Cost = z.infer<typeof cost>;

/** cutime and cstime of /proc/PID/stat; the name before them may hold spaces and brackets. */
export function childSeconds(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[13]) + Number(fields[14])) / TICKS_PER_SECOND;
}
