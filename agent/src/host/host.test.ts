import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { hostFacts as factsSchema } from '@joulebook/shared/batch.js';
import { seconds } from '@joulebook/shared/units.js';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { hostFacts } from './host.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'host-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

it('says what this machine is, in the form the batch wants', async () => {
  const facts = factsSchema.parse(await hostFacts({ agentVersion: '1.2.3' }));
  expect(facts.agentVersion).toBe('1.2.3');
  expect(facts.cpu.cores).toBeGreaterThan(0);
  expect(facts.memoryBytes).toBeGreaterThan(2 ** 20);
  expect(facts.virtualised).toBeTypeOf('boolean');
});

const library = async (text: string): Promise<string> => {
  const path = join(directory, 'library.cjs');
  await writeFile(path, `exports.cpu = async () => ({ manufacturer: 'AMD', brand: 'EPYC 9654', processors: 2, physicalCores: 192 });\n${text}`);
  return path;
};

it('keeps what is known when a probe hangs synchronously, within its time limit', async () => {
  const began = performance.now();
  const facts = await hostFacts({ agentVersion: '1', limit: seconds(1), library: await library('exports.graphics = () => { for (;;); };') });
  expect(performance.now() - began).toBeLessThan(5000);
  expect(facts).toMatchObject({ hostname: hostname(), cpu: { model: 'AMD EPYC 9654', sockets: 2, cores: 192 }, gpus: [] });
});

it('goes on when a probe fails or answers nonsense, and leaves out what it does not know', async () => {
  const facts = await hostFacts({
    agentVersion: '1',
    library: await library(`
      exports.osInfo = async () => { throw new Error('no'); };
      exports.mem = async () => ({ total: 'much' });
      exports.graphics = async () => ({ controllers: [{ vendor: 'NVIDIA', model: 'H100', bus: '', busAddress: '0000:1b:00.0', vram: 81559 }, { vendor: 'ASPEED', model: 'VGA', vram: null }] });`),
  });
  expect(facts.memoryBytes).toBe(totalmem());
  expect(facts).not.toHaveProperty('virtualised');
  expect(facts.gpus).toEqual([
    { vendor: 'NVIDIA', model: 'H100', bus: '0000:1b:00.0', memoryMiB: 81559 },
    { vendor: 'ASPEED', model: 'VGA' },
  ]);
});
