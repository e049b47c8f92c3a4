import { expect, it } from 'vitest';
import { epochMicros } from '@joulebook/shared/units.js';
import { at } from '../store/sample-facts.js';
import { designOf } from './design.js';
import { stepFor } from './grid.js';

/** A letter is a minute: which sides have a block in it. */
const blocks = (text: string, side: string) => text.split('').flatMap((letter, minute) => (letter === side || letter === '*' ? [{ from: at(minute * 60), to: at(minute * 60 + 60) }] : []));
/** Of three nodes, node by node. */
const nodes = (text: string, side: string) => [...blocks(text, side), ...blocks(text, side), ...blocks(text, side)];
const run = (second: number) => ({ from: epochMicros(second * 1e6), to: epochMicros((second + 1) * 1e6) });
const found = (text: string) => designOf(blocks(text, 'a'), blocks(text, 'b'));

it.each([
  ['aaaaabbbbb', 'before-after'], ['bbbbb   aaaaa', 'before-after'], ['aabbaabb', 'switchback'], ['aabbaa', 'switchback'], ['**********', 'parallel'], ['aaaa*****bbb', 'parallel'], ['aaaaaa*bbbbbbb', 'before-after'], ['******************bb', 'parallel'],
])('%s is %s', (text, design) => {
  expect(found(text)).toBe(design);
});

it('sees the time of several nodes as one', () => {
  expect(designOf(nodes('aaaaaaaa*bbbbbbb', 'a'), nodes('aaaaaaaa*bbbbbbb', 'b'))).toBe('before-after');
  expect(designOf(nodes('********', 'a'), nodes('********', 'b'))).toBe('parallel');
});

it('sees sides as parallel whose blocks are not of one length', () => {
  const long = [{ from: at(0), to: at(600) }, { from: at(600), to: at(1200) }];
  expect(designOf(blocks('aaaaaaaaaaaaaaaaaaaa', 'a'), long)).toBe('parallel');
  expect(designOf(long, blocks('aaaaaaaaaaaaaaaaaaaa', 'a'))).toBe('parallel');
});

it('takes runs without times for what they are', () => {
  expect(designOf([run(0), run(1)], [run(2), run(3)])).toBe('runs');
});

it('takes minutes, less of them where time is short and more where there is much', () => {
  const [hour, day] = [3600e6, 86_400e6];
  expect([6e6, 190e6, 0.4 * hour, hour, 30 * day, 400 * day].map((shortest) => stepFor(shortest) / 1e6)).toEqual([1, 1, 60, 60, 60, 900]);
  expect([stepFor(250e6) / 1e6, stepFor(30 * day, 8) / 1e6]).toEqual([10, 900]);
});
