/** One line with the figures of the last half minute, asked of a running collector. */
import { messageOf } from '@joulebook/shared/errors.js';
import { z } from 'zod';

const RECENT_SECONDS = 30;
const answer = z.object({
  rows: z.array(z.object({ seconds: z.number().nullable(), watts: z.number().nullable(), tokens: z.object({ output: z.number().nullable() }), tokensPerWattSecond: z.number().nullable() })),
});

const figure = (value: number | null | undefined, unit: string, digits = 0): string => `${value === null || value === undefined ? '–' : value.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: digits })} ${unit}`;

export async function latestFigures(collector: string, simulated: boolean): Promise<string> {
  const time = new Date().toISOString().slice(11, 19);
  const mark = simulated ? '  (simulated)' : '';
  try {
    const response = await fetch(`${collector}/v1/report?from=${Date.now() / 1000 - RECENT_SECONDS}`);
    const [row] = answer.parse(await response.json()).rows;
    if (!row || (row.watts === null && row.tokens.output === null)) return `${time}  nothing measured yet${mark}`;
    const rate = row.tokens.output === null || !row.seconds ? null : row.tokens.output / row.seconds;
    return `${time}  ${figure(row.watts, 'W')}  ${figure(rate, 'tokens/s')}  ${figure(row.tokensPerWattSecond, 'tokens per watt-second', 2)}${mark}`;
  } catch (error) {
    return `${time}  the collector does not answer: ${messageOf(error)}`;
  }
}
