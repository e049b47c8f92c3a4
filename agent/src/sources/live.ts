/** How a live source is listed: its name, its own options, how it is opened, how it is found without being told. */
import { UsageError } from '@joulebook/shared/errors.js';
import { describeIssues } from '@joulebook/shared/settings.js';
import type { z } from 'zod';
import type { TokenOrigin } from './deployments.js';
import type { LivePower, LiveServing } from './source.js';

interface LiveKind<S> {
  readonly name: string;
  readonly summary: string;
  /** Sources of one family read the same devices: without being told, only the first that is found is used. */
  readonly family?: string | undefined;
  /** Is nowhere by custom: it is never found without being told. */
  readonly mustBeTold?: boolean | undefined;
  /** @throws UsageError naming every option that is wrong */
  open(options: Readonly<Record<string, unknown>>): S;
  /** What to configure when nothing was: options for `open`, or why it is not here. */
  detect(environment: NodeJS.ProcessEnv): Promise<{ readonly found: true; readonly options: Readonly<Record<string, unknown>> } | { readonly found: false; readonly reason: string }>;
}
export type LivePowerKind = LiveKind<LivePower>;
export type LiveServingKind = LiveKind<LiveServing> & { readonly tokensFrom: TokenOrigin };

interface LiveDeclaration<O, S> {
  readonly name: string;
  readonly summary: string;
  readonly family?: string;
  readonly mustBeTold?: boolean;
  readonly options: z.ZodType<O>;
  readonly open: (options: O) => S;
  readonly detect: LiveKind<S>['detect'];
}

export const liveServingKind = <O>({ tokensFrom, ...kind }: LiveDeclaration<O, LiveServing> & { readonly tokensFrom: TokenOrigin }): LiveServingKind => ({ ...liveKind(kind), tokensFrom });

/** Binds the options' schema to the function that wants them, so that a list of kinds needs no common option type. */
export function liveKind<O, S>(kind: LiveDeclaration<O, S>): LiveKind<S> {
  return {
    name: kind.name,
    summary: kind.summary,
    family: kind.family,
    mustBeTold: kind.mustBeTold,
    detect: kind.detect,
    open(options) {
      const checked = kind.options.safeParse(options);
      if (!checked.success) throw new UsageError(describeIssues(checked.error, kind.name));
      return kind.open(checked.data);
    },
  };
}
