/**
 * Prometheus remote write 1.0 by hand: two protobuf messages and a snappy block, which is all that a sender needs.
 *
 *     WriteRequest { timeseries: 1 { labels: 1 { name: 1, value: 2 } …  samples: 2 { value: 1 double, timestamp: 2 ms } … } … }
 *     snappy block: length as varint, then literals (tag 00) and copies of at most 64 bytes from up to 64 kB before (tag 10)
 */
interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  readonly milliseconds: number;
}

const BLOCK = 65_536;
const HASH_BITS = 14;
const LONGEST_COPY = 64;
const SHORTEST_COPY = 4;

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return [...bytes, rest];
}

/** A field of length-delimited kind. */
const field = (number: number, content: Uint8Array): Buffer => Buffer.concat([Buffer.from([(number << 3) | 2, ...varint(content.length)]), content]);
const label = (name: string, value: string): Buffer => field(1, Buffer.concat([field(1, Buffer.from(name)), field(2, Buffer.from(value))]));

function sampleOf(value: number, milliseconds: number): Buffer {
  const double = Buffer.alloc(9);
  double[0] = (1 << 3) | 1;
  double.writeDoubleLE(value, 1);
  return field(2, Buffer.concat([double, Buffer.from([2 << 3, ...varint(milliseconds)])]));
}

/** Labels sorted by name, as the protocol asks. */
export const labelsOf = (labels: Readonly<Record<string, string>>): Buffer => Buffer.concat(Object.keys(labels).toSorted().map((name) => label(name, labels[name] ?? '')));
export const seriesOf = (labels: Buffer, { value, milliseconds }: Pick<Sample, 'value' | 'milliseconds'>): Buffer => field(1, Buffer.concat([labels, sampleOf(value, milliseconds)]));

function literal(out: number[], plain: Uint8Array, from: number, to: number): void {
  if (to <= from) return;
  const length = to - from - 1;
  if (length < 60) out.push(length << 2);
  else out.push(61 << 2, length & 255, length >> 8);
  for (let index = from; index < to; index += 1) out.push(plain[index] ?? 0);
}

/** Greedy: the last place with the same four bytes is taken where it is near enough. */
export function snappy(plain: Buffer): Buffer {
  const blocks: Buffer[] = [Buffer.from(varint(plain.length))];
  for (let begin = 0; begin < plain.length; begin += BLOCK) blocks.push(compressed(plain.subarray(begin, begin + BLOCK)));
  return Buffer.concat(blocks);
}

/** @param block at most 64 kB, so that every offset in it has two bytes */
function compressed(block: Buffer): Buffer {
  const out: number[] = [];
  const places = new Int32Array(1 << HASH_BITS).fill(-1);
  let written = 0;
  for (let at = 0; at + SHORTEST_COPY <= block.length; ) {
    const hash = Math.imul(block.readUInt32LE(at), 0x1e35a7bd) >>> (32 - HASH_BITS);
    const before = places[hash] ?? -1;
    places[hash] = at;
    if (before < 0 || block.readUInt32LE(before) !== block.readUInt32LE(at)) {
      at += 1;
      continue;
    }
    literal(out, block, written, at);
    let length = SHORTEST_COPY;
    while (length < LONGEST_COPY && at + length < block.length && block[before + length] === block[at + length]) length += 1;
    out.push(((length - 1) << 2) | 2, (at - before) & 255, (at - before) >> 8);
    at += length;
    written = at;
  }
  literal(out, block, written, block.length);
  return Buffer.from(out);
}
