import { expect, it } from 'vitest';
import { pino } from 'pino';
import type { Clock } from '@joulebook/shared/clock.js';
import { instant, seconds } from '@joulebook/shared/units.js';
import { openAudit, type Audit } from './audit.js';

let now = 0;
const clock: Clock = { wall: () => instant(now), monotonic: () => seconds(now) };
const lines: unknown[] = [];
const opened = (level: string): Audit => {
  lines.splice(0);
  return openAudit(pino({ level }, { write: (line: string) => void lines.push(JSON.parse(line)) }), clock);
};
const refuse = (audit: Audit, address: string): void => audit.refused({ event: 'refused', reason: 'TOKEN_UNKNOWN', address });

it('tells five refusals a minute of one address and counts the rest', () => {
  const audit = opened('error');
  for (let count = 0; count < 12; count += 1) refuse(audit, '10.0.0.9');
  refuse(audit, '10.0.0.8');
  expect(lines).toHaveLength(6);
  expect(lines.at(-1)).toMatchObject({ audit: true, level: 40, address: '10.0.0.8', untold: 7 });
  now += 61;
  refuse(audit, '10.0.0.9');
  expect(lines).toHaveLength(7);
  expect(lines.at(-1)).not.toHaveProperty('untold');
});

it('is not flooded by many addresses', () => {
  const audit = opened('info');
  for (let count = 0; count < 1000; count += 1) refuse(audit, `10.0.${count >> 8}.${count & 255}`);
  expect(lines).toHaveLength(100);
});

it('is silent only where the log is', () => {
  opened('silent').acted({ event: 'token-revoked', id: '0123456789ab' }, { by: 'token x', address: '::1' });
  expect(lines).toEqual([]);
  opened('error').acted({ event: 'token-revoked', id: '0123456789ab' }, { by: 'token x', address: '::1' });
  expect(lines).toMatchObject([{ audit: true, event: 'token-revoked', id: '0123456789ab' }]);
});
