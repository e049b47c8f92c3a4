/** Command-line options of settings, made from their declarations. */
import { flagName } from '@joulebook/shared/settings.js';
import type { Command } from 'commander';
import { agentSettings } from '../settings.js';

/** What to read in help after the flag of each setting. */
export type Operands = Readonly<Partial<Record<keyof typeof agentSettings, string>>>;

export function addSettings(command: Command, operands: Operands): Command {
  for (const [name, { description }] of Object.entries(agentSettings)) {
    const operand = Object.entries(operands).find(([each]) => each === name)?.[1];
    if (operand !== undefined) command.option(`${flagName(name)} <${operand}>`, description);
  }
  return command;
}

/** How the collector and this agent know each other. */
export const COLLECTOR_TLS = { collectorCa: 'FILE', collectorCert: 'FILE', collectorKey: 'FILE' } as const satisfies Operands;
