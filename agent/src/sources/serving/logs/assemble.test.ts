import { describe, expect, it } from 'vitest';
import { zone } from '../../timestamps.js';
import { lineAssembler } from './assemble.js';
import { recordedClock } from './clock.js';

const rules = { isOf: (text: string) => text.includes('iter = '), isCut: (text: string) => !text.includes('states = {') };
const clock = recordedClock({ zone: zone('UTC') });

function lines(...raw: readonly string[]): [number: number, text: string, writer: string | undefined][] {
  const assembler = lineAssembler(rules, clock);
  return [...raw.flatMap((text, index) => assembler.push({ number: index + 1, text })), ...assembler.flush()].map(({ number, text, writer }) => [number, text, writer]);
}

describe('lines', () => {
  it('are whole where they were torn after their beginning, also with a line of another writer between', () => {
    expect(lines('0: iter = 7, host_st', '1: iter = 7, states = {}', '0: ep_time = 8ms, states = {1}')).toEqual([
      [2, 'iter = 7, states = {}', '1'],
      [1, 'iter = 7, host_step_time = 8ms, states = {1}', '0'],
    ]);
  });

  it('are whole where they were torn before anything told of what they are', () => {
    expect(lines('0: [stamp] it', '0: er = 7, states = {}').at(-1)).toEqual([2, '[stamp] iter = 7, states = {}', '0']);
  });

  it('take a piece that lost its wrapper to the line above it', () => {
    expect(lines('0: iter = 7, host_st', 'ep_time = 8ms, states = {1}')).toEqual([[1, 'iter = 7, host_step_time = 8ms, states = {1}', '0']]);
    expect(lines('0: [stamp] it', 'er = 7, states = {}').at(-1)).toEqual([2, '[stamp] iter = 7, states = {}', undefined]);
  });

  it('are torn in three', () => {
    expect(lines('0: iter = 7, a', '0: b', '0: c, states = {}')).toEqual([[1, 'iter = 7, abc, states = {}', '0']]);
  });

  it('are never joined to a line with a header, nor are unrelated lines to each other', () => {
    expect(lines('iter = 7, states = {}', '| table').map(([, text]) => text)).toEqual(['iter = 7, states = {}', '| table']);
    expect(lines('0: iter = 7, cut', '0: [stamp] other', 'prompt eval time = 1', '       eval time = 2').map(([, text]) => text)).toEqual(['iter = 7, cut', '[stamp] other', 'prompt eval time = 1', '       eval time = 2']);
  });

  it('wait for their end no longer than the file', () => {
    expect(lines('0: iter = 7, cut')).toEqual([[1, 'iter = 7, cut', '0']]);
  });

  it('are put together again where the container runtime cut them', () => {
    const at = '2026-05-12T08:01:39.331095044Z stdout';
    expect(lines(`${at} P iter = 7, `, `${at} P host, `, `${at} F states = {}`)).toEqual([[1, 'iter = 7, host, states = {}', undefined]]);
  });

  it('carry the time of their wrapper', () => {
    const assembler = lineAssembler(rules, clock);
    expect(assembler.push({ number: 1, text: '2026-05-12T08:01:39.5+00:00   x' })).toEqual([{ number: 1, text: 'x', wrapped: Date.parse('2026-05-12T08:01:39.5Z') / 1000, wrappedRoughly: true }]);
    expect(assembler.push({ number: 2, text: '2026-05-12T08:01:39.500000000Z x' })).toEqual([{ number: 2, text: 'x', wrapped: Date.parse('2026-05-12T08:01:39.5Z') / 1000 }]);
  });
});
