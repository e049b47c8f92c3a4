/**
 * Sends the facts of the bench `ingest` to one kind of server, in a process of its own so that its processor time is apart. All
 * bodies are made before the first is sent, and are sent again in each round, to a server that is new.
 *
 *     argv     JSON: form, cells (file), nodes, steps, begin, cellsPerBody, perBody, connections
 *     stdin  ◀ JSON: url, headers, part   `warm`: the first tenth, which is not timed, then `rest`; its end is the end of this process
 *     stdout ▶ { bodies, bytes, values, truth }, then for each part { seconds, cpuSeconds, facts } or { failed }
 */
import { Agent, request } from 'node:http';
import { createInterface } from 'node:readline';
import { gzipSync } from 'node:zlib';
import { INFLUXDB_DIALECT } from '@joulebook/collector/store/influx/influxdb.js';
import { lineOf, type Dialect } from '@joulebook/collector/store/influx/lines.js';
import { measurementName, pointsOf, type Point } from '@joulebook/collector/store/influx/points.js';
import { encodeBatch, type Batch } from '@joulebook/shared/batch.js';
import { messageOf } from '@joulebook/shared/errors.js';
import { epochMicros } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { batchOf, NOTHING, plus, readCells, truthOf, type Truth } from './ingest-facts.js';
import { labelsOf, seriesOf, snappy } from './ingest-remote-write.js';

const ANSWER_MS = 60_000;
/** As agents compress. */
const GZIP = { level: 1 };

const job = z.object({
  form: z.enum(['batches', 'lines-ns', 'lines-ms', 'remote-write']), cells: z.string(), nodes: z.number(), steps: z.number(), begin: z.number().transform(epochMicros),
  /** Of one node; a batch is a body of its own. */
  cellsPerBody: z.number(),
  /** Lines, of remote write samples, of several nodes; absent: each batch is a body. */
  perBody: z.number().optional(),
  connections: z.number(),
}).parse(JSON.parse(process.argv[2] ?? ''));
const order = z.object({ url: z.string(), headers: z.record(z.string(), z.string()), part: z.enum(['warm', 'rest']) });
/** Of all bodies: programs that run for months were all warm once. */
const WARM = 0.1;
const tell = (said: object): void => void process.stdout.write(`${JSON.stringify(said)}\n`);

const cells = await readCells(job.cells);
interface Body {
  readonly bytes: Buffer;
  /** That were begun in it. */
  readonly facts: number;
}
const bodies: Body[] = [];
let truth: Truth = NOTHING;
/** Numbers that the form holds, times not among them. */
let values = 0;

/** In the order of time. */
function* batches(): Generator<Batch> {
  for (let step = 0; step < job.steps; step += job.cellsPerBody) {
    for (let node = 0; node < job.nodes; node += 1) {
      const together = Array.from({ length: Math.min(job.cellsPerBody, job.steps - step) }, (_, index) => batchOf(cells, job.begin, node, step + index));
      const [first] = together;
      if (first) yield { ...first, sequence: step / job.cellsPerBody, slices: together.flatMap(({ slices }) => slices) };
    }
  }
}
const isFull = (length: number): boolean => job.perBody !== undefined && length >= job.perBody;

/** What the envelope is for has no use in a store that nobody retries into: it would be a tag and a field more. */
function lean({ tags: { stream: _stream, ...tags }, fields: { sequence: _sequence, ...fields }, ...point }: Point): Point {
  return { ...point, tags, fields, sequence: 0 };
}

/** Fractions as they are: VictoriaMetrics rounds them a little, and gets them in the form that it likes best. */
const VICTORIA: Dialect = { precision: 'ms', slots: 10_000, field: (name, value) => [`${name}=${value}`] };

function linesInBodies(dialect: Dialect): void {
  let lines: string[] = [];
  const end = (): void => {
    if (lines.length > 0) bodies.push({ bytes: gzipSync(lines.join('\n'), GZIP), facts: lines.length });
    lines = [];
  };
  for (const batch of batches()) {
    truth = plus(truth, truthOf(batch));
    for (const point of pointsOf(batch).map(lean)) {
      values += Object.keys(point.fields).length;
      lines.push(lineOf(point, dialect));
      if (isFull(lines.length)) end();
    }
    if (job.perBody === undefined) end();
  }
  end();
}

function samplesInBodies(): void {
  const labels = new Map<string, Buffer>();
  let [series, facts]: [Buffer[], number] = [[], 0];
  const end = (): void => {
    if (series.length > 0) bodies.push({ bytes: snappy(Buffer.concat(series)), facts });
    [series, facts] = [[], 0];
  };
  for (const batch of batches()) {
    truth = plus(truth, truthOf(batch));
    for (const { measurement, tags, fields, cell } of pointsOf(batch).map(lean)) {
      facts += 1;
      for (const [name, value] of Object.entries(fields)) {
        const all = { ...tags, __name__: `${measurementName(measurement)}_${name}` };
        const key = JSON.stringify(all);
        const known = labels.get(key) ?? labelsOf(all);
        labels.set(key, known);
        series.push(seriesOf(known, { value, milliseconds: cell }));
        values += 1;
        if (isFull(series.length)) end();
      }
    }
  }
  end();
}

if (job.form === 'remote-write') samplesInBodies();
else if (job.form !== 'batches') linesInBodies(job.form === 'lines-ns' ? INFLUXDB_DIALECT : VICTORIA);
else {
  for (const batch of batches()) {
    truth = plus(truth, truthOf(batch));
    bodies.push({ bytes: gzipSync(encodeBatch(batch), GZIP), facts: batch.slices.length });
  }
  values = truth.facts;
}
tell({ bodies: bodies.length, bytes: bodies.reduce((sum, { bytes }) => sum + bytes.length, 0), values, truth });

function post(agent: Agent, { url, headers }: z.output<typeof order>, body: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const sending = request(url, { agent, method: 'POST', timeout: ANSWER_MS, headers: { ...headers, 'content-length': body.length } }, (answer) => {
      let said = '';
      answer.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(0, 500)));
      answer.on('error', reject);
      answer.on('end', () => (answer.statusCode === 200 || answer.statusCode === 204 ? resolve() : reject(new Error(`${url} answered ${answer.statusCode}: ${said}`))));
    });
    sending.on('timeout', () => sending.destroy(new Error(`${url}: no answer within ${ANSWER_MS / 1000} s`)));
    sending.on('error', reject);
    sending.end(body);
  });
}

/** Each connection sends its next body when the one before is answered. */
async function round(to: z.output<typeof order>): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: job.connections });
  const warm = Math.ceil(bodies.length * WARM);
  const part = to.part === 'warm' ? bodies.slice(0, warm) : bodies.slice(warm);
  const queue = part.values();
  const cpu = process.cpuUsage();
  const begun = performance.now();
  await Promise.all(Array.from({ length: job.connections }, async () => {
    for (const { bytes } of queue) await post(agent, to, bytes);
  }));
  const seconds = (performance.now() - begun) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  agent.destroy();
  tell({ seconds, cpuSeconds: (user + system) / 1e6, facts: part.reduce((sum, { facts }) => sum + facts, 0) });
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    await round(order.parse(JSON.parse(line)));
  } catch (error) {
    tell({ failed: messageOf(error) });
  }
}
