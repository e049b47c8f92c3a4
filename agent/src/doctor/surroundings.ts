/** What the agent needs besides sensors: a collector that answers and takes its token, a clock like its, a disk to spool on. */
import { mkdir, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '@joulebook/shared/errors.js';
import { Agent, request } from 'undici';

export interface Finding {
  readonly check: string;
  readonly ok: boolean;
  /** What was found, and what to do when it is not right. */
  readonly detail: string;
}

const TIMEOUT_MS = 5000;
/** A collector's Date header has whole seconds. */
const CLOCK_TOLERANCE_SECONDS = 2;
const LEAST_FREE_BYTES = 256 * 1024 * 1024;

export async function examineCollector(collector: { readonly url: string; readonly token?: string | undefined }): Promise<Finding[]> {
  const dispatcher = new Agent({ connectTimeout: TIMEOUT_MS });
  const ask = async (path: string, headers: Record<string, string> = {}) => {
    const began = Date.now();
    const response = await request(new URL(path, collector.url), { headers, dispatcher, signal: AbortSignal.timeout(TIMEOUT_MS) });
    await response.body.dump();
    return { status: response.statusCode, date: response.headers['date'], middle: (began + Date.now()) / 2 };
  };
  try {
    const ready = await ask('/readyz');
    const findings: Finding[] = [{ check: 'collector', ok: ready.status === 200, detail: ready.status === 200 ? `${collector.url} answers` : `${collector.url} answers ${ready.status} to /readyz; look at its log` }];
    const allowed = await ask('/v1/nodes', collector.token === undefined ? {} : { authorization: `Bearer ${collector.token}` });
    const refused = allowed.status === 401 || allowed.status === 403;
    findings.push({ check: 'token', ok: !refused, detail: refused ? `the collector refuses ${collector.token === undefined ? 'a sender without a token; set JOULEBOOK_TOKEN' : 'this token; ask for another'}` : collector.token === undefined ? 'none needed' : 'accepted' });
    if (typeof ready.date === 'string') {
      const offset = Date.parse(ready.date) / 1000 + 0.5 - ready.middle / 1000;
      const ok = Math.abs(offset) <= CLOCK_TOLERANCE_SECONDS;
      findings.push({ check: 'clock', ok, detail: `the collector's clock is ${offset >= 0 ? '+' : ''}${offset.toFixed(1)} s from this one (±0.5 s)${ok ? '' : '; set both by NTP'}` });
    }
    return findings;
  } catch (error) {
    return [{ check: 'collector', ok: false, detail: `${collector.url} does not answer: ${messageOf(error)}. Batches wait in the spool until it does.` }];
  } finally {
    await dispatcher.destroy();
  }
}

export async function examineSpool(dataDir: string): Promise<Finding> {
  const directory = join(dataDir, 'spool');
  const probe = join(directory, `.doctor-${process.pid}`);
  try {
    await mkdir(directory, { recursive: true });
    await writeFile(probe, 'x');
    await rm(probe);
    const { bavail, bsize } = await statfs(directory);
    const free = bavail * bsize;
    const ok = free >= LEAST_FREE_BYTES;
    return { check: 'spool', ok, detail: `${directory} can be written; ${(free / 1e9).toFixed(1)} GB free${ok ? '' : ', too little to bridge an outage of the collector'}` };
  } catch (error) {
    return { check: 'spool', ok: false, detail: `${directory} can't be written: ${messageOf(error)}. Choose another dataDir or mend its permissions.` };
  }
}
