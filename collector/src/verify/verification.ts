/** What `verify` answers: zod shapes, because a running collector answers it over HTTP. */
import { z } from 'zod';

export const CHECKS = {
  files: 'every file of the bundle is as it was when that was made',
  signature: 'the bundle is signed by whom it is said to be',
  figures: 'what is computed anew from the facts of the bundle is what it shows',
  phases: 'phases add up to what each device drew, and no device was seen for longer than time passed',
  boundaries: 'no wide sensor shows less than what is measured inside it',
  requests: 'single requests drew no more than their GPUs',
  tokens: 'tokens that were counted agree with those of the requests',
  sequences: 'every batch that was numbered is here',
  losses: 'no agent had to drop what it measured',
  coverage: 'enough of the time asked was seen',
  duplicates: 'nothing was told by two',
} as const;
export type CheckName = keyof typeof CHECKS;

export const reason = z.object({
  check: z.string(),
  /** Stable and greppable, e.g. `SEQUENCES_MISSING`. */
  code: z.string(),
  detail: z.string(),
});
export type Reason = z.infer<typeof reason>;

export const verification = z.object({
  /** The books close: no reason was found. */
  closed: z.boolean(),
  /** Of the facts that were looked at; null without any. */
  from: z.string().nullable(),
  to: z.string().nullable(),
  checks: z.array(
    z.object({
      check: z.string(),
      /** null: there was nothing that could be compared. */
      closed: z.boolean().nullable(),
      /** What was looked at, in words. */
      looked: z.string(),
    }),
  ),
  reasons: z.array(reason),
  /** What is no reason, and should be known: `KNOWN_LOSS`, `NOT_JUDGED_YET`. */
  notes: z.array(reason),
});
export type Verification = z.infer<typeof verification>;

/** What one check found; `nothing` where there was nothing to compare. */
export interface Finding {
  readonly check: CheckName;
  readonly looked: string;
  readonly nothing?: boolean;
  readonly reasons: readonly Omit<Reason, 'check'>[];
  readonly notes?: readonly Omit<Reason, 'check'>[];
}

/** Reasons of one kind are told so many; the rest is counted. */
const TOLD = 20;

export const toldOf = (finding: Finding): Reason[] => {
  const told = finding.reasons.slice(0, TOLD).map((each) => ({ check: finding.check, ...each }));
  const more = finding.reasons.length - told.length;
  const last = told.at(-1);
  return more > 0 && last ? [...told, { ...last, detail: `and ${more} more of this kind` }] : told;
};
