/** What this machine has, found without being told. */
import { livePowerKinds, liveServingKinds } from './index.js';
import type { LivePowerKind, LiveServingKind } from './live.js';

export interface Detected {
  readonly power: readonly { readonly source: string; readonly [option: string]: unknown }[];
  readonly serving: readonly { readonly source: string; readonly [option: string]: unknown }[];
  /** Why each of the others is not used. */
  readonly absent: readonly { readonly source: string; readonly reason: string }[];
}

type Kind = LivePowerKind | LiveServingKind;

export async function detectSources(environment: NodeJS.ProcessEnv, kinds: { readonly power: readonly Kind[]; readonly serving: readonly Kind[] } = { power: livePowerKinds, serving: liveServingKinds }): Promise<Detected> {
  const [power, serving] = await Promise.all([look(kinds.power, environment), look(kinds.serving, environment)]);
  return { power: power.found, serving: serving.found, absent: [...power.absent, ...serving.absent] };
}

async function look(kinds: readonly Kind[], environment: NodeJS.ProcessEnv): Promise<{ found: Detected['power'][number][]; absent: Detected['absent'][number][] }> {
  const answers = await Promise.all(kinds.map(async (kind) => ({ kind, answer: await kind.detect(environment) })));
  const found: Detected['power'][number][] = [];
  const absent: Detected['absent'][number][] = [];
  const families = new Map<string, string>();
  for (const { kind: { name, family }, answer } of answers) {
    const reader = family === undefined ? undefined : families.get(family);
    if (!answer.found) absent.push({ source: name, reason: answer.reason });
    else if (reader !== undefined) absent.push({ source: name, reason: `${reader} reads the same GPUs; name both under power to have one stand in for the other` });
    else {
      if (family !== undefined) families.set(family, name);
      found.push({ ...answer.options, source: name });
    }
  }
  return { found, absent };
}
