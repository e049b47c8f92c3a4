/** How an experiment stands, in plain words: one sentence each. */
import { lasting, change } from '../compare/sentence.js';
import { figure } from '../report/columns.js';
import type { ExperimentShown } from './shown.js';

type Shown = Omit<ExperimentShown, 'sentences'>;

function stateLine({ name, labels, nodes, against, turns, running, settle }: Shown): string {
  const what = Object.entries(labels).map(([key, value]) => `${key}=${value}`).join(', ');
  const last = turns.at(-1);
  const since = running ? `is running since ${last?.from ?? ''}` : `was stopped at ${last?.to ?? ''}`;
  const where = `on ${nodes.length <= 5 ? nodes.join(', ') : `${nodes.length} nodes`}${against.length === 0 ? '' : `, held against ${against.length <= 5 ? against.join(', ') : `${against.length} nodes`}`}`;
  return `${name} (${what}) ${since} ${where}${turns.length === 1 ? '' : `, in turn ${turns.length}`}; ${settle === 0 ? 'no time is left out for settling' : `${lasting(settle)} after each switch are left out for settling`}.`;
}

function progressLine({ progress: { a, b, wanted, reached, plannedPerSide, more }, comparison, running }: Shown): string {
  const plan = plannedPerSide === null || reached !== null ? '' : ` As A varied by itself, either side needs about ${lasting(plannedPerSide)} for ±${change(wanted).slice(1)}.`;
  if (b === 0) return running ? `Nothing of B can be used yet: it is still settling, or its facts are on their way.${plan}` : 'Nothing of B can be used: it ran no longer than it takes to settle.';
  if (a === 0) return 'Nothing of A can be used: there is no time before that it could be held against. Say more with --before, or hold it against nodes that stay as they are with --against.';
  const measured = `A was measured for ${lasting(a)} and B for ${lasting(b)}`;
  if (comparison === null || reached === null) return `${measured}.${plan}`;
  if (reached <= wanted) return `${measured}: enough for the ±${change(wanted).slice(1)} that were asked for (±${change(reached).slice(1)} reached).`;
  const need = plannedPerSide === null || more === null ? 'no length of measuring like this will do' : `by what is seen so far either side needs ${lasting(plannedPerSide)}, ${lasting(more)} more`;
  return `${measured}: ±${change(reached).slice(1)} is reached, and for ±${change(wanted).slice(1)} ${need}.`;
}

const boundsText = (bounds: readonly [number, number] | null): string => (bounds === null ? 'not measured' : bounds[0] === bounds[1] ? figure(bounds[0]) : `${figure(bounds[0])} to ${figure(bounds[1])}`);
const STATUS = { ok: 'is kept', violated: 'is VIOLATED', unknown: "can't be told" } as const;

export const guardrailLines = ({ guardrails }: Pick<Shown, 'guardrails'>): string[] => guardrails.map(({ guardrail, a, b, status }) => `${guardrail} ${STATUS[status]}: ${boundsText(b)} in B, ${boundsText(a)} in A.`);

export function sentencesOf(shown: Shown): string[] {
  return [stateLine(shown), progressLine(shown), ...(shown.comparison?.sentences.slice(0, 1) ?? []), ...guardrailLines(shown)];
}
