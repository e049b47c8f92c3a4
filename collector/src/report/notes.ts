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

const SOURCES: Readonly<Record<NonNullable<Report['resolution']>[number]['resolution'], string>> = { facts: 'facts', '1m': 'sums by minute', '1h': 'sums by hour', '1d': 'sums by day' };
const UNITS = [['d', 86_400], ['h', 3600], ['min', 60], ['s', 1]] as const;

function lengthText(seconds: number): string {
  const [unit, length] = UNITS.find(([, each]) => seconds >= each) ?? ['s', 1];
  return `${Number((seconds / length).toFixed(1))} ${unit}`;
}

/** Worth a line where not all was read as it was sent. */
function resolutionLine({ resolution = [] }: Report): string[] {
  if (resolution.every((read) => read.resolution === 'facts')) return [];
  return [`Read: ${resolution.map((read) => `${SOURCES[read.resolution]} (${lengthText(read.seconds)})`).join(', ')}.`];
}

const demandLines = ({ demand = [], currency }: Report): string[] =>
  demand.map(({ site, month, peakKw, at, cost, coverage }) => `Demand of ${printable(site ?? '(no site)')} in ${month}: ${at === null ? '–' : `${figure(peakKw)} kW at ${at}, ${figure(cost)} ${currency}`}, in no cost above (coverage ${percent(coverage)}).`);

export const noteLines = (report: Report): string[] => [...methodLine(report), ...errorLine(report), ...boundaryLines(report), ...demandLines(report), ...resolutionLine(report)];
