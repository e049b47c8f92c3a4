import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { all, recordedFile, refusal } from './recorded-file.testing.js';
import { columnPosition, openTable, type TableRow } from './table.js';

const read = async (content: string | Uint8Array): Promise<{ columns: readonly string[]; rows: TableRow[] }> => {
  const table = await openTable(recordedFile(content, 'requests.csv'), 'requests');
  return { columns: table.columns, rows: await all(table.rows()) };
};

describe('openTable', () => {
  it('reads CSV; a quoted cell may hold separators, quotes and line ends, and rows keep the line they begin on', async () => {
    const { columns, rows } = await read('﻿start,prompt,out\r\n1,"a, ""b""\r\n\r\nc",2\r\n\r\n3,d,\r\n');
    expect(columns).toEqual(['start', 'prompt', 'out']);
    expect(rows).toEqual([
      { line: 2, cells: ['1', 'a, "b"\n\nc', '2'] },
      { line: 6, cells: ['3', 'd', undefined] },
    ]);
  });

  it.each([
    ['a quote that never closes', '1,"open,2\n3,d,4\n5,e,6\n'],
    ['a cut off row', '1,"open"\n3,d,4\n5,e,6\n'],
    ['a row with too many cells', '1,b,c,d\n3,d,4\n5,e,6\n'],
    ['a line that is too long', `1,${'x'.repeat(1_100_000)},2\n3,d,4\n5,e,6\n`],
  ])('%s costs its own row and no other', async (_, lines) => {
    const { rows } = await read(`start,prompt,out\n${lines}`);
    expect(rows.filter((row) => row.flaw !== undefined).map((row) => row.line)).toEqual([2]);
    expect(rows.filter((row) => row.flaw === undefined).map((row) => row.cells[0])).toEqual(['3', '5']);
  });

  it('takes a lone quote inside a cell for a quote', async () => {
    const { rows } = await read('start,prompt\n1,5" disk\n2,7" disk\n3,x\n');
    expect(rows.map((row) => row.cells)).toEqual([['1', '5" disk'], ['2', '7" disk'], ['3', 'x']]);
  });

  it.each([
    ['an array of objects', '[{"a": 1, "b": "x"}, {"a": 2, "c": [0.1, 0.2]}]'],
    ['the same, over several lines', '[\n  {"a": 1, "b": "x"},\n  {"a": 2, "c": [0.1, 0.2]}\n]\n'],
    ['lines of objects', '{"a": 1, "b": "x"}\n\n{"a": 2, "c": [0.1, 0.2]}\n'],
    ['an array of objects inside an object', '{"model": [{"a": 1, "b": "x"}, {"a": 2, "c": [0.1, 0.2]}]}'],
    ['gzipped lines', gzipSync('{"a": 1, "b": "x"}\n{"a": 2, "c": [0.1, 0.2]}\n')],
  ])('reads %s', async (_, content) => {
    const { columns, rows } = await read(content);
    expect(columns).toEqual(['a', 'b', 'c']);
    expect(rows.map((row) => row.cells)).toEqual([[1, 'x', undefined], [2, undefined, [0.1, 0.2]]]);
  });

  it('reads an object of arrays; what is no array holds for every row', async () => {
    const { columns, rows } = await read('{"start": [1, 2], "out": [3, null],\n "model": "m"}');
    expect(columns).toEqual(['start', 'out', 'model']);
    expect(rows).toEqual([{ line: 1, cells: [1, 3, 'm'] }, { line: 2, cells: [2, undefined, 'm'] }]);
  });

  it('reads lines of objects that hold arrays, and skips lines that were cut off', async () => {
    const { rows } = await read('{"a": 1, "x": [1], "y": [2]}\n{"a": 2, "x": [1], "y": [2]}\n{"a": 3, "x"');
    expect(rows.map((row) => [row.line, row.cells[0], row.flaw])).toEqual([[1, 1, undefined], [2, 2, undefined], [3, undefined, 'not a JSON object, or cut off']]);
  });

  it.each([
    ['', 'FILE_EMPTY', /is empty/],
    ['[]', 'FILE_EMPTY', /no rows/],
    ['{"a": [1, 2], "b": [1]}', 'FILE_FORMAT', /a has 2 values, b 1/],
    ['[{"a": 1}, {"a"', 'FILE_FORMAT', /not valid JSON/],
    ['just text\nmore text\n', 'FILE_FORMAT', /neither CSV nor JSON/],
    ['1713452957.58,128,Tell me a secret\n', 'FILE_FORMAT', /^requests\.csv is not requests: its first line is data, not the names of columns\.$/],
  ])('refuses %j', async (content, code, message) => {
    const [said, ...rest] = (await refusal(read(content))).split(': ');
    expect(said).toBe(code);
    expect(rest.join(': ')).toMatch(message);
  });

  it('names the nearest column, or all, but no text that is no name', async () => {
    const file = recordedFile('Timestamp,Tell me how the weather will be today,out\n1,2,3\n', 'requests.csv');
    const table = await openTable(file, 'requests');
    expect(columnPosition(table, file, 'out', 'columns.outputTokens')).toBe(2);
    expect(() => columnPosition(table, file, 'timestamp', 'columns.start')).toThrow("requests.csv has no column 'timestamp' (columns.start); did you mean 'Timestamp'?");
    expect(() => columnPosition(table, file, 'xyz', 'columns.start')).toThrow("requests.csv has no column 'xyz' (columns.start); it has Timestamp, out.");
  });
});
