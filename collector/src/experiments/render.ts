/** Experiments as text for people, ending with a newline. */
import Table from 'cli-table3';
import { renderComparison } from '../compare/render.js';
import { printable } from '../report/columns.js';
import type { ExperimentListed, ExperimentShown } from './shown.js';

const labelsText = ({ labels }: ExperimentListed): string => Object.entries(labels).map(([key, value]) => `${key}=${value}`).join(', ');

export function renderList(experiments: readonly ExperimentListed[]): string {
  if (experiments.length === 0) return 'There are no experiments.\n';
  const table = new Table({ head: ['name', 'what is different', 'nodes', 'turns', 'from', 'to'], style: { head: [], border: [] } });
  for (const each of experiments) table.push([printable(each.name), printable(labelsText(each)), each.nodes.length, each.turns.length, each.turns[0]?.from ?? '', each.running ? 'running' : (each.turns.at(-1)?.to ?? '')]);
  return `${table.toString()}\n`;
}

const MOST_SHOWN = 12;

const rowsOf = (name: string, ranges: ExperimentShown['settling']) => ranges.map(({ from, to }) => [name, from, to] as const);

/** All stretches in order of time, or the last of them. */
function timeline({ sides: { a, b }, settling, against }: ExperimentShown): string {
  const all = [...(against.length > 0 ? rowsOf('A and B', b) : [...rowsOf('A', a), ...rowsOf('B', b)]), ...rowsOf('settling', settling)].toSorted((one, other) => (one[1] < other[1] ? -1 : 1));
  const table = new Table({ head: ['side', 'from', 'to'], style: { head: [], border: [], compact: true } });
  table.push(...all.slice(-MOST_SHOWN).map((cells) => [...cells]));
  return `${table.toString()}${all.length > MOST_SHOWN ? `\n(the last ${MOST_SHOWN} of ${all.length}; --json has all)` : ''}`;
}

export function renderExperiment(shown: ExperimentShown): string {
  const flags = shown.flags.map(({ code, detail }) => `${code}: ${printable(detail)}`);
  // The comparison says its own below.
  const told = shown.sentences.filter((sentence) => sentence !== shown.comparison?.sentences[0]);
  const head = [...told.map(printable), '', timeline(shown), ...flags].join('\n');
  return shown.comparison === null ? `${head}\n` : `${head}\n\n${renderComparison(shown.comparison, 'table')}`;
}
