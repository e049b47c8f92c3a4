/**
 * Packed rows into a table, by columns: numbers go over in one piece for each column of a chunk, and each text once for each batch and column.
 * A call into DuckDB for every cell of every row takes three times as long.
 *
 * A text stands in a vector as 16 bytes: its length and its letters, or where they are in the vector's own memory. Other rows of the same
 * vector with the same text have the same 16 bytes.
 */
import duckdb from '@duckdb/node-bindings';
import { BIGINT, DOUBLE, DuckDBDataChunk, VARCHAR, type DuckDBAppender } from '@duckdb/node-api';
import type { ColumnType } from './packed.js';

const MOST_ROWS = duckdb.vector_size();
const TWO_32 = 2 ** 32;
const WORDS_OF_TEXT = 4;

export interface Rows {
  readonly cells: Float64Array;
  readonly texts: readonly string[];
}

/** Which of some rows of a chunk. */
interface Part extends Rows {
  /** Of the first cell, and from each to the one in the next row. */
  readonly at: number;
  readonly step: number;
  /** The first row of the chunk, and how many. */
  readonly row: number;
  readonly count: number;
}

abstract class Column {
  protected readonly vector: duckdb.Vector;
  readonly #valid = new Uint8Array(MOST_ROWS / 8).fill(255);
  #hasNulls = false;

  constructor(vector: duckdb.Vector) {
    this.vector = vector;
  }

  abstract take(part: Part): void;
  /** Of one row. */
  protected abstract readonly bytes: number;
  protected abstract data(rows: number): ArrayBuffer;

  protected setNull(row: number): void {
    this.#valid[row >> 3] = (this.#valid[row >> 3] ?? 0) & ~(1 << (row & 7));
    this.#hasNulls = true;
  }

  /** Into the vector. */
  flush(rows: number): void {
    duckdb.copy_data_to_vector(this.vector, 0, this.data(rows), 0, rows * this.bytes);
    if (!this.#hasNulls) return;
    duckdb.vector_ensure_validity_writable(this.vector);
    duckdb.copy_data_to_vector_validity(this.vector, 0, this.#valid.buffer, 0, this.#valid.byteLength);
  }

  /** For rows of another chunk. */
  begin(): void {
    if (this.#hasNulls) this.#valid.fill(255);
    this.#hasNulls = false;
  }
}

/** 64 bits in two halves, the lower one first as on every machine that DuckDB is built for: a BigInt for each would be garbage. */
class WholeColumn extends Column {
  protected readonly bytes = 8;
  readonly #low = new Uint32Array(2 * MOST_ROWS);
  readonly #high = new Int32Array(this.#low.buffer);

  take({ cells, at, step, row, count }: Part): void {
    for (let index = 0; index < count; index += 1) {
      const cell = cells[at + index * step] ?? NaN;
      const place = 2 * (row + index);
      if (Number.isNaN(cell)) this.setNull(row + index);
      else {
        const high = Math.floor(cell / TWO_32);
        if (!Number.isInteger(cell) || high < -(2 ** 31) || high >= 2 ** 31) throw new RangeError(`${cell} is no whole number of 64 bits (BIGINT)`);
        this.#low[place] = cell - high * TWO_32;
        this.#high[place + 1] = high;
      }
    }
  }

  protected data(): ArrayBuffer {
    return this.#low.buffer;
  }
}

class NumberColumn extends Column {
  protected readonly bytes = 8;
  readonly #values = new Float64Array(MOST_ROWS);

  take({ cells, at, step, row, count }: Part): void {
    for (let index = 0; index < count; index += 1) {
      const cell = cells[at + index * step] ?? NaN;
      if (Number.isNaN(cell)) this.setNull(row + index);
      this.#values[row + index] = cell;
    }
  }

  protected data(): ArrayBuffer {
    return this.#values.buffer;
  }
}

class TextColumn extends Column {
  protected readonly bytes = 4 * WORDS_OF_TEXT;
  /** By row: the row in which its text was written. */
  readonly #first = new Int32Array(MOST_ROWS);
  readonly #words = new Uint32Array(WORDS_OF_TEXT * MOST_ROWS);

  take({ cells, texts, at, step, row, count }: Part): void {
    const rowOf = new Int32Array(texts.length).fill(-1);
    for (let index = 0; index < count; index += 1) {
      const place = cells[at + index * step] ?? NaN;
      const mine = row + index;
      this.#first[mine] = mine;
      if (Number.isNaN(place)) this.setNull(mine);
      else {
        const first = rowOf[place] ?? -1;
        if (first >= 0) this.#first[mine] = first;
        else {
          duckdb.vector_assign_string_element(this.vector, mine, texts[place] ?? '');
          rowOf[place] = mine;
        }
      }
    }
  }

  protected data(rows: number): ArrayBuffer {
    const written = duckdb.vector_get_data(this.vector, rows * this.bytes);
    const words = new Uint32Array(written.buffer, written.byteOffset, rows * WORDS_OF_TEXT);
    for (let row = 0; row < rows; row += 1) {
      const [to, from] = [row * WORDS_OF_TEXT, (this.#first[row] ?? 0) * WORDS_OF_TEXT];
      this.#words[to] = words[from] ?? 0;
      this.#words[to + 1] = words[from + 1] ?? 0;
      this.#words[to + 2] = words[from + 2] ?? 0;
      this.#words[to + 3] = words[from + 3] ?? 0;
    }
    return this.#words.buffer;
  }
}

const TYPES = { text: VARCHAR, whole: BIGINT, number: DOUBLE } as const;
const COLUMN = { text: TextColumn, whole: WholeColumn, number: NumberColumn } as const;

export class Table {
  readonly #chunk: DuckDBDataChunk;
  readonly #columns: readonly Column[];
  #rows = 0;

  constructor(columns: readonly ColumnType[]) {
    this.#chunk = DuckDBDataChunk.create(columns.map((type) => TYPES[type]));
    this.#columns = columns.map((type, index) => new COLUMN[type](duckdb.data_chunk_get_vector(this.#chunk.chunk, index)));
  }

  append(appender: DuckDBAppender, all: readonly Rows[]): void {
    this.#begin();
    const step = this.#columns.length;
    for (const { cells, texts } of all) {
      for (let at = 0; at < cells.length; ) {
        const count = Math.min(MOST_ROWS - this.#rows, (cells.length - at) / step);
        for (const [index, column] of this.#columns.entries()) column.take({ cells, texts, at: at + index, step, row: this.#rows, count });
        this.#rows += count;
        at += count * step;
        if (this.#rows === MOST_ROWS) this.#flush(appender);
      }
    }
    if (this.#rows > 0) this.#flush(appender);
  }

  #begin(): void {
    this.#chunk.reset();
    for (const column of this.#columns) column.begin();
    this.#rows = 0;
  }

  #flush(appender: DuckDBAppender): void {
    for (const column of this.#columns) column.flush(this.#rows);
    this.#chunk.rowCount = this.#rows;
    appender.appendDataChunk(this.#chunk);
    this.#begin();
  }
}
