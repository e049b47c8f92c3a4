/** The spool: can it be written, how full is it, what was lost. It is only looked at: an agent may be running on it. */
import { mkdir, readdir, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '@joulebook/shared/errors.js';
import { sentence } from '../shipper/loss-flags.js';
import { readAccount } from '../spool/losses.js';
import { firstPosition } from '../spool/segment.js';
import type { Finding } from './surroundings.js';

/** A spool this full will not bridge another outage. */
const NEARLY_FULL = 0.8;

export interface SpoolLimits {
  readonly spoolMaxBytes: number;
  readonly spoolMinFreeBytes: number;
}

export async function examineSpool(dataDir: string, { spoolMaxBytes, spoolMinFreeBytes }: SpoolLimits): Promise<Finding[]> {
  const directory = join(dataDir, 'spool');
  const probe = join(directory, `.doctor-${process.pid}`);
  try {
    await mkdir(directory, { recursive: true });
    await writeFile(probe, 'x');
    await rm(probe);
    const { bavail, bsize } = await statfs(directory);
    const free = bavail * bsize;
    const used = await bytesIn(directory);
    const roomy = free >= spoolMinFreeBytes;
    const filling = used < NEARLY_FULL * spoolMaxBytes;
    return [
      {
        check: 'spool',
        ok: roomy && filling,
        detail: `${directory} can be written; it takes ${megabytes(used)} of ${megabytes(spoolMaxBytes)} MB (spoolMaxBytes)${filling ? '' : ': nearly full, then its oldest batches are dropped; is the collector there?'}; ${megabytes(free)} MB are free${roomy ? '' : `, less than ${megabytes(spoolMinFreeBytes)} MB (spoolMinFreeBytes): it does not grow; make room`}`,
      },
      ...(await examineLosses(directory)),
    ];
  } catch (error) {
    return [{ check: 'spool', ok: false, detail: `${directory} can't be written: ${messageOf(error)}. Measuring goes on in memory for a while. Choose another dataDir or mend its permissions.` }];
  }
}

/** None in the account is no finding. */
async function examineLosses(directory: string): Promise<Finding[]> {
  try {
    const { batches, losses } = await readAccount(directory);
    if (losses.length > 0) return [{ check: 'losses', ok: false, detail: `${losses.map(sentence).join(' ')} The collector has not been told yet.` }];
    return batches > 0 ? [{ check: 'losses', ok: true, detail: `${batches} batches were lost over the life of this spool; the collector knows of them and reports flag their time` }] : [];
  } catch (error) {
    return [{ check: 'losses', ok: false, detail: `the account of lost batches can't be read: ${messageOf(error)}; the agent begins a new one` }];
  }
}

/** A segment may go while it is counted. */
async function bytesIn(directory: string): Promise<number> {
  const names = (await readdir(directory)).filter((name) => firstPosition(name) !== undefined);
  const sizes = await Promise.all(names.map((name) => stat(join(directory, name)).then(({ size }) => size, () => 0)));
  return sizes.reduce((sum, size) => sum + size, 0);
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);
