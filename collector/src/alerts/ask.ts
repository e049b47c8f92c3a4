/** Asks rules, one after the other: ingest has its turns in between; what several ask about is summed once. What one of them can't be asked keeps no other from it. */
import { messageOf } from '@joulebook/shared/errors.js';
import type { Instant } from '@joulebook/shared/units.js';
import { remembering } from '../store/remembering.js';
import type { Store } from '../store/store.js';
import type { Rule } from './condition.js';
import type { Asked } from './shown.js';

export async function askRules(rules: readonly Rule[], at: Instant, store: Store): Promise<Asked[]> {
  const asked: Asked[] = [];
  const seen = remembering(store);
  for (const rule of rules) {
    asked.push(await rule.evaluate(at, seen).then((answer) => ({ rule, answer, fault: undefined }), (error: unknown) => ({ rule, answer: undefined, fault: messageOf(error) })));
  }
  return asked;
}
