/** What useful output costs. Ratios and prices are inputs here; what a tenant finds useful is decided elsewhere. */
import { quantity, tokens, type Joules, type Quantity, type Tokens } from '@joulebook/shared/units.js';
import { positiveRatio, type JoulesPerToken, type Ratio } from './energy.js';
import type { Dollars, DollarsPerToken } from './money.js';

export type DollarsPerHour = Quantity<'USD/h'>;
export type TokensPerHour = Quantity<'token/h'>;

/** Everything an hour of serving costs. DESIGN §5 "all-in hourly cost". An item that is not known makes the total unknown. */
export interface HourlyCosts {
  readonly gpuOrInstance: DollarsPerHour | null;
  readonly cpuMemoryStorageNetwork: DollarsPerHour | null;
  readonly orchestration: DollarsPerHour | null;
  readonly idleHeadroom: DollarsPerHour | null;
  readonly engineering: DollarsPerHour | null;
  readonly energy: DollarsPerHour | null;
}

/**
 * raw × SLO success × accepted, for where only ratios are known; counted requests are better.
 * DESIGN §5: A 10,000 × 0.70 × 0.95 = 6,650; B 8,000 × 0.96 × 0.97 = 7,449.6.
 */
export const usefulTokensFromRatios = (raw: Tokens | null, sloSuccess: Ratio | null, accepted: Ratio | null): Tokens | null =>
  raw === null || sloSuccess === null || accepted === null ? null : tokens(raw * sloSuccess * accepted);

/** All-in hourly cost / useful tokens per hour. DESIGN §5. */
export function costPerUsefulToken(costs: HourlyCosts, useful: TokensPerHour | null): DollarsPerToken | null {
  const items = [costs.gpuOrInstance, costs.cpuMemoryStorageNetwork, costs.orchestration, costs.idleHeadroom, costs.engineering, costs.energy];
  const total = items.reduce<number | null>((sum, item) => (sum === null || item === null ? null : sum + item), 0);
  const value = positiveRatio(total, useful);
  return value === null ? null : quantity(value);
}

interface Response<PerToken> {
  /** E_t: tokens generated for one response, before attempts. */
  readonly outputTokens: Tokens | null;
  /** A: attempts per accepted response, ≥ 1. */
  readonly attempts: Ratio | null;
  /** C_t: what an output token costs. */
  readonly perOutputToken: PerToken | null;
  /** P_t: prompt tokens. */
  readonly promptTokens: Tokens | null;
  /** C_p: what a prompt token costs. */
  readonly perPromptToken: PerToken | null;
}

function perMeaningfulResponse(of: Response<number>): number | null {
  const { outputTokens, attempts, perOutputToken, promptTokens, perPromptToken } = of;
  if (outputTokens === null || attempts === null || perOutputToken === null || promptTokens === null || perPromptToken === null) return null;
  return outputTokens * attempts * perOutputToken + promptTokens * perPromptToken;
}

/** (E_t × A × C_t) + (P_t × C_p) in money. DESIGN §5: 150 × 1.2 × $0.00015 + 150 × $0.000002 = $0.0273. */
export function costPerMeaningfulResponse(of: Response<DollarsPerToken>): Dollars | null {
  const value = perMeaningfulResponse(of);
  return value === null ? null : quantity(value);
}

/** The same with joules per token: J per meaningful response. DESIGN §5. */
export function energyPerMeaningfulResponse(of: Response<JoulesPerToken>): Joules | null {
  const value = perMeaningfulResponse(of);
  return value === null ? null : quantity(value);
}
