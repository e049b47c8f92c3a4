import { array, assert, constantFrom, property, string } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { onLine, tagOf, textOf } from './tag.js';

const odd = array(constantFrom('a', ' ', ',', '=', '"', "'", '%', '0', 'A', '\\', '\n', '\r', '\t', '\u0000', '\u007f', 'é', '→', '🙂', '{', '}', '.*'), { maxLength: 12 }).map((parts) => parts.join(''));

describe('a text as a tag', () => {
  it.each([['odd', odd], ['plain', string()]])('comes back as it was (%s), is never empty, never ends in a backslash and stays on its line', (_, texts) => {
    assert(property(texts, (text) => {
      expect(textOf(tagOf(text))).toBe(text);
      expect(tagOf(text)).toMatch(/^[^\n\r\\]+$/u);
    }), { numRuns: 500 });
  });

  it.each([['', '%'], ['a b,c=d', 'a b,c=d'], ['50%\\', '50%25%5C'], ['two\nlines\r', 'two%0Alines%0D'], ['"it\'s" {é} 🙂', '"it\'s" {é} 🙂']])('%j is stored as %j', (text, tag) => {
    expect(tagOf(text)).toBe(tag);
  });

  it('is escaped where it would end early', () => expect(onLine('a b,c=d')).toBe(String.raw`a\ b\,c\=d`));
});
