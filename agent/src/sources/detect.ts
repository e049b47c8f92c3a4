/** What this machine has, found without being told. */
import { livePowerKinds, liveServingKinds } from './index.js';

export interface Detected {
  readonly power: readonly { readonly source: string; readonly [option: string]: unknown }[];
  readonly serving: readonly { readonly source: string; readonly [option: string]: unknown }[];
  /** Why each of the others is not used. */
  readonly absent: readonly { readonly source: string; readonly reason: string }[];
}

export async function detectSources(environment: NodeJS.ProcessEnv): Promise<Detected> {
  const look = async (kinds: readonly { name: string; detect: (typeof livePowerKinds)[number]['detect'] }[]) =>
    Promise.all(kinds.map(async (kind) => ({ source: kind.name, answer: await kind.detect(environment) })));
  const [power, serving] = await Promise.all([look(livePowerKinds), look(liveServingKinds)]);
  const found = (answers: typeof power) => answers.flatMap(({ source, answer }) => (answer.found ? [{ ...answer.options, source }] : []));
  return {
    power: found(power),
    serving: found(serving),
    absent: [...power, ...serving].flatMap(({ source, answer }) => (answer.found ? [] : [{ source, reason: answer.reason }])),
  };
}
