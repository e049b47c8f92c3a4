/** Output that was of no use, by class: what the report says of it, of the energy that served. Idle energy is no part of it: it has kinds of its own. */
import { joules } from '@joulebook/shared/units.js';
import { kilowattHours } from '../figures/waste.js';
import type { Row } from '../join/report.js';
import type { Finding } from './answer.js';
import { OUTPUT_KINDS } from './kinds.js';
import { NO_AMOUNTS } from './tally.js';

/** @param group of the row, as the question names it */
export function wastedOutput(row: Row, group: Finding['group']): Finding[] {
  const { spending } = row;
  if (!spending) return [];
  return OUTPUT_KINDS.flatMap((kind): Finding[] => {
    const { requests, outputTokens, joules: spent } = spending[kind];
    if (requests === 0 && outputTokens === 0) return [];
    const part = (whole: number | null): number | null => (whole === null || spent === null || row.joules === null || row.joules <= 0 ? null : (whole * spent) / row.joules);
    return [{
      ...NO_AMOUNTS, kind, group, requests, tokens: outputTokens, joules: spent, kwh: kilowattHours(spent === null ? null : joules(spent)), gpuHours: part(row.gpuHours),
      energyCost: part(row.energyCost), allInCost: part(row.allInCost), carbonGrams: part(row.carbonGrams), carbonGramsMarket: part(row.carbonGramsMarket),
    }];
  });
}
