/** What stands under a table: by which methods the figures come, and the boundaries side by side. One sentence per line. */
import type { MeasuredBoundary, Report } from '../join/report.js';
import { count, figure, percent, printable } from './columns.js';

/** Recordings of many runs name a file each. */
const MOST_METHODS = 8;

function methodLine({ methods }: Report): string[] {
  if (methods.length === 0) return [];
  const told = methods.slice(0, MOST_METHODS).map(({ boundary, source, method }) => `${boundary} by ${printable(source)} (${method})`);
  return [`Measured: ${told.join(', ')}${methods.length > MOST_METHODS ? ` and ${methods.length - MOST_METHODS} more` : ''}.`];
}

const boundaryText = ({ boundary, joules, coverage, devices }: MeasuredBoundary): string =>
  `${boundary} ${figure(joules)} J (${count(devices)} ${devices === 1 ? 'device' : 'devices'}, coverage ${percent(coverage)})`;

function boundaryLines({ boundariesMeasured = [], other }: Report): string[] {
  if (boundariesMeasured.length < 2) return [];
  return [
    `Boundaries, which contain each other and are never added: ${boundariesMeasured.map(boundaryText).join(' · ')}.`,
    ...(other ? [`Other in ${other.of}: ${other.joules === null ? '–' : `${figure(other.joules)} J`} (${printable(other.note)}).`] : []),
  ];
}

const errorLine = ({ uncertainty, total }: Report): string[] =>
  uncertainty === null && total.joules !== null ? ['±: the sensors do not state their error for all of this energy.'] : [];

export const noteLines = (report: Report): string[] => [...methodLine(report), ...errorLine(report), ...boundaryLines(report)];
