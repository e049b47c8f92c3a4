/** A verification for people: a short table, and every reason why the books do not close. */
import Table from 'cli-table3';
import { CHECKS, type Verification } from './verification.js';

const RESULT = { true: 'yes', false: 'NO', null: '–' } as const;

export function renderVerification({ closed, from, to, checks, reasons, notes }: Verification): string {
  const table = new Table({ head: ['check', 'closes', 'looked at'], style: { head: [], border: [], compact: true } });
  for (const { check, closed: closes, looked } of checks) table.push([check, RESULT[`${closes}`], looked]);
  const meant = Object.entries(CHECKS).filter(([name]) => reasons.some(({ check }) => check === name));
  return [
    from === null ? 'no range' : `${from} – ${to}`,
    table.toString(),
    closed ? `The books close${notes.length === 0 ? '.' : ', but for this:'}` : 'The books do not close:',
    ...meant.flatMap(([name, promise]) => [`  ${name}: not so that ${promise}`, ...reasons.filter(({ check }) => check === name).map(({ code, detail }) => `    ${code}  ${detail}`)]),
    ...(notes.length > 0 && !closed ? ['Besides:'] : []),
    ...notes.map(({ code, detail }) => `    ${code}  ${detail}`),
    '',
  ].join('\n');
}
