/** Books that do not close, and agents that fell silent. */
import { epochMicros, fromEpochMicros, seconds, toIso } from '@joulebook/shared/units.js';
import type { AlertOf } from '../book/alerting.js';
import { verify } from '../verify/verify.js';
import { number, settledAt, type Condition, type Rule } from './condition.js';

/** It looks at all facts of its time in several ways. */
const BOOKS_EVERY = 900;
/** Live batches overtake those that an agent has to catch up with. */
const GRACE = seconds(60);
const TOLD = 3;

/** An alert for each kind of reason: a fleet that lost a switch has a hundred reasons and one cause. */
export function booksRule(rule: AlertOf<'books'>): Rule {
  return {
    name: rule.name, kind: 'books', every: BOOKS_EVERY, for: rule.for, keepFiring: rule.keepFiring, absent: 'over',
    async evaluate(at, store) {
      const to = settledAt(at);
      const { reasons } = await verify(store, { from: epochMicros(to - rule.over * 1e6), to, leastCoverage: rule.coverage }, { now: at, grace: GRACE });
      const codes = [...new Map(reasons.map((reason) => [reason.code, reason])).values()];
      return { conditions: codes.map(({ check, code }): Condition => {
        const details = reasons.filter((reason) => reason.code === code).map(({ detail }) => detail);
        const more = details.length - TOLD;
        return { labels: { check, code }, severity: rule.severity, holds: true, value: details.length, summary: `The books do not close: ${details.slice(0, TOLD).join(' ')}${more > 0 ? ` And ${more} more.` : ''}` };
      }) };
    },
  };
}

/** Who says what machine it is, is an agent: recordings that were sent, and outcomes, never come again. */
export function silentRule(rule: AlertOf<'silent'>): Rule {
  const wanted = rule.where['node'];
  return {
    name: rule.name, kind: 'silent', every: 60, for: 0, keepFiring: rule.keepFiring, absent: 'over',
    async evaluate(at, store) {
      const nodes = (await store.nodes()).filter(({ node, host }) => host !== null && (wanted?.includes(node) ?? true));
      return { conditions: nodes.map(({ node, lastSeen }): Condition => {
        const age = at - fromEpochMicros(lastSeen);
        return { labels: { node }, severity: rule.severity, holds: age > rule.after && age < rule.forget, value: Math.max(0, age), summary: `${node} sent its last batch at ${toIso(fromEpochMicros(lastSeen))}, ${number(Math.max(0, age / 60))} min ago. Is its agent running, and can it reach the collector?` };
      }) };
    },
  };
}
