/**
 * What could not be used of a file, counted by reason: one flag per reason says how many, the first few lines and why.
 * A file of which more was skipped than used is of another format; it must end in an error and never in a figure.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { Flagged } from './source.js';

interface Kind {
  readonly code: string;
  readonly one: string;
  readonly many: string;
}
const SKIPPED: Kind = { code: 'SKIPPED_LINES', one: 'line skipped', many: 'lines skipped' };
export const MISSING_READINGS: Kind = { code: 'MISSING_READINGS', one: 'reading missing', many: 'readings missing' };
export const ABSURD_READING: Kind = { code: 'ABSURD_READING', one: 'reading skipped', many: 'readings skipped' };

const EXAMPLES = 3;
const SAMPLE_CHARACTERS = 60;
/** Reasons may quote a file (`[N/A]`); a file of rubbish must not make as many reasons as it has lines. */
const MAX_REASONS = 20;

interface Reason {
  readonly kind: Kind;
  readonly examples: string[];
  count: number;
}

export interface LineTally {
  /** A line that said something. */
  used(): void;
  /** A line that can't be used. `sample` is quoted: never text of a prompt. */
  skip(line: number, reason: string, sample?: string): void;
  /** Part of a used line says nothing. */
  note(kind: Kind, line: number, reason: string, sample?: string): void;
  flagged(): Flagged[];
  /** @throws TelemetryError FILE_EMPTY, or FILE_FORMAT when fewer than half of the lines were usable */
  judge(format: string): void;
}

export function lineTally(label: string): LineTally {
  const reasons = new Map<string, Reason>();
  let used = 0;
  let skipped = 0;

  const count = (kind: Kind, line: number, reason: string, sample?: string): void => {
    let key = `${kind.code} ${reason}`;
    let said = reason;
    if (!reasons.has(key) && reasons.size >= MAX_REASONS) {
      said = 'other reasons';
      key = `${kind.code} ${said}`;
    }
    const known = reasons.get(key) ?? { kind, examples: [], count: 0 };
    reasons.set(key, known);
    known.count += 1;
    if (known.examples.length < EXAMPLES) known.examples.push(`line ${line}: ${said}${sample === undefined ? '' : ` ("${clip(sample)}")`}`);
  };
  const describe = ({ kind, examples, count: total }: Reason): string => {
    const more = total > examples.length ? `; and ${total - examples.length} more` : '';
    return `${label}: ${total} ${total === 1 ? kind.one : kind.many}: ${examples.join('; ')}${more}`;
  };

  return {
    used: () => {
      used += 1;
    },
    skip: (line, reason, sample) => {
      skipped += 1;
      count(SKIPPED, line, reason, sample);
    },
    note: count,
    flagged: () => [...reasons.values()].map((reason) => ({ kind: 'flagged', code: reason.kind.code, detail: describe(reason), count: reason.count })),
    judge: (format) => {
      if (used + skipped === 0) throw new TelemetryError('FILE_EMPTY', `${label} holds no data: give a ${format} file with at least one line of data.`, 'abort');
      if (skipped <= used) return;
      const why = [...reasons.values()].filter((reason) => reason.kind === SKIPPED).map(describe);
      throw new TelemetryError('FILE_FORMAT', `${label} is not usable as ${format}: only ${used} of ${used + skipped} data lines can be used. ${why.slice(0, 3).join('. ')}.`, 'abort');
    },
  };
}

export function clip(text: string): string {
  const printable = text.replace(/[^\P{C}\t]/gu, '�').trim();
  return printable.length > SAMPLE_CHARACTERS ? `${printable.slice(0, SAMPLE_CHARACTERS)}…` : printable;
}
