/** Experiments as text for people, ending with a newline. */
import Table from 'cli-table3';
import { renderComparison } from '../compare/render.js';
import { lasting } from '../compare/sentence.js';
import { printable } from '../report/columns.js';
import type { ExperimentListed, ExperimentShown } from './shown.js';

const labelsText = ({ labels }: ExperimentListed): string => Object.entries(labels).map(([key, value]) => `${key}=${value}`).join(', ');

export function renderList(experiments: readonly ExperimentListed[]): string {
  if (experiments.length === 0) return 'There are no experiments.\n';
  const table = new Table({ head: ['name', 'what is different', 'nodes', 'turns', 'from', 'to'], style: { head: [], border: [] } });
  for (const each of experiments) table.push([printable(each.name), printable(labelsText(each)), each.nodes.length, each.turns.length, each.turns[0]?.from ?? '', each.running ? 'running' : (each.turns.at(-1)?.to ?? '')]);
  return `${table.toString()}\n`;
}

function turnsTable({ turns, sides: { a, b } }: ExperimentShown): string {
  const table = new Table({ head: ['side', 'from', 'to'], style: { head: [], border: [], compact: true } });
  for (const [name, ranges] of [['A', a], ['B', b]] as const) for (const { from, to } of ranges) table.push([name, from, to]);
  const switched = turns.map(({ from, to }) => `on ${from}${to === null ? '' : `, off ${to}`}`);
  return `${table.toString()}\nSwitched ${switched.join('; ')}.`;
}

export function renderExperiment(shown: ExperimentShown): string {
  const left = shown.settling.length === 0 ? [] : [`Left out for settling: ${shown.settling.map(({ from, to }) => `${from} – ${to}`).join(', ')} (${lasting(shown.settle)} after a switch).`];
  const flags = shown.flags.map(({ code, detail }) => `${code}: ${printable(detail)}`);
  const head = [...shown.sentences.map(printable), '', turnsTable(shown), ...left, ...flags].join('\n');
  return shown.comparison === null ? `${head}\n` : `${head}\n\n${renderComparison(shown.comparison, 'table')}`;
}
