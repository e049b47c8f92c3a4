/** Which deployment a GPU process belongs to, by rules a person wrote. */
import type { GpuProcess } from './gpu-processes.js';

/**
 * All that a rule says must hold. Patterns are compared with the whole value, whatever its case; `*` stands for anything.
 * Container and pod are ids: `3f2a*` is enough of one.
 */
export interface ProcessRule {
  readonly deployment: string;
  readonly engine?: string | undefined;
  readonly container?: string | undefined;
  readonly pod?: string | undefined;
  readonly command?: string | undefined;
}

export interface DeploymentsByProcess {
  readonly deployments: ReadonlyMap<string, readonly GpuProcess[]>;
  /** No rule speaks of them: their share of the device is nobody's. */
  readonly unknown: readonly GpuProcess[];
}

const ASPECTS = ['engine', 'container', 'pod', 'command'] as const;

/** The first rule that fits a process wins; a rule without a pattern fits none. */
export function deploymentsByProcess(processes: readonly GpuProcess[], rules: readonly ProcessRule[]): DeploymentsByProcess {
  const compiled = rules.map((rule) => ({ deployment: rule.deployment, patterns: ASPECTS.flatMap((aspect) => (rule[aspect] === undefined ? [] : [{ aspect, pattern: wildcard(rule[aspect]) }])) }));
  const deployments = new Map<string, GpuProcess[]>();
  const unknown: GpuProcess[] = [];
  for (const process of processes) {
    const rule = compiled.find(({ patterns }) => patterns.length > 0 && patterns.every(({ aspect, pattern }) => pattern.test(process[aspect] ?? '')));
    if (rule) deployments.set(rule.deployment, [...(deployments.get(rule.deployment) ?? []), process]);
    else unknown.push(process);
  }
  return { deployments, unknown };
}

const wildcard = (pattern: string): RegExp => new RegExp(`^${pattern.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*')}$`, 'is');
