/**
 * What the machine is. systeminformation asks many commands, some of them synchronously (nvidia-smi among them, which
 * can hang for ever on a sick GPU), so it runs in a process of its own that is killed when its time is up. Each part is
 * printed as soon as it is known, the one that may hang last; what is missing then is taken from Node or left out.
 */
import { createRequire } from 'node:module';
import { arch, cpus, hostname, release, totalmem, type } from 'node:os';
import type { HostFacts } from '@joulebook/shared/batch.js';
import { seconds, type Seconds } from '@joulebook/shared/units.js';
import { execa } from 'execa';
import { z } from 'zod';

const PROBE = `
  const probes = require(process.argv[1]);
  const ask = async (part, probe) => {
    try { process.stdout.write(JSON.stringify({ part, value: await probe() }) + '\\n'); } catch {}
  };
  (async () => {
    for (const [part, name] of [['os', 'osInfo'], ['cpu', 'cpu'], ['memory', 'mem'], ['system', 'system'], ['graphics', 'graphics']]) await ask(part, probes[name]);
    process.exit(0);
  })();
`;

const line = z.object({ part: z.string(), value: z.unknown() });
const osPart = z.object({ hostname: z.string(), distro: z.string(), release: z.string(), kernel: z.string() });
const cpuPart = z.object({ manufacturer: z.string(), brand: z.string(), processors: z.int().positive(), physicalCores: z.int().positive() });
const memoryPart = z.object({ total: z.int().positive() });
const systemPart = z.object({ virtual: z.boolean() });
const controller = z.object({ vendor: z.string(), model: z.string(), bus: z.string().optional(), busAddress: z.string().optional(), vram: z.number().nullish(), memoryTotal: z.number().optional() });
const graphicsPart = z.object({ controllers: z.array(controller) });

export interface HostProbe {
  readonly agentVersion: string;
  /** How long to wait for all parts together. */
  readonly limit?: Seconds;
  /** Ends the waiting early, with what is known by then. */
  readonly signal?: AbortSignal;
  /** The module that is asked; tests pass their own. */
  readonly library?: string;
}

/** Never fails: what can't be found out is absent or as Node says it. */
export async function hostFacts({ agentVersion, limit = seconds(15), signal, library = createRequire(import.meta.url).resolve('systeminformation') }: HostProbe): Promise<HostFacts> {
  const { stdout } = await execa(process.execPath, ['--eval', PROBE, library], { timeout: limit * 1000, killSignal: 'SIGKILL', reject: false, stdin: 'ignore', stderr: 'ignore', ...(signal && { cancelSignal: signal }) });
  const parts = new Map(stdout.split('\n').flatMap((text) => parsed(text) ?? []));
  const part = <T>(name: string, schema: z.ZodType<T>): T | undefined => schema.safeParse(parts.get(name)).data;

  const os = part('os', osPart);
  const cpu = part('cpu', cpuPart);
  const virtual = part('system', systemPart)?.virtual;
  return {
    hostname: os?.hostname || hostname(),
    os: os ? `${os.distro} ${os.release}`.trim() : type(),
    kernel: os?.kernel || release(),
    cpu: cpu ? { model: `${cpu.manufacturer} ${cpu.brand}`.trim(), sockets: cpu.processors, cores: cpu.physicalCores } : { model: cpus()[0]?.model ?? arch(), sockets: 1, cores: cpus().length },
    memoryBytes: part('memory', memoryPart)?.total ?? totalmem(),
    gpus: (part('graphics', graphicsPart)?.controllers ?? []).map(gpu),
    ...(virtual !== undefined && { virtualised: virtual }),
    agentVersion,
  };
}

function parsed(text: string): [string, unknown][] | undefined {
  try {
    const { part, value } = line.parse(JSON.parse(text));
    return [[part, value]];
  } catch {
    // The last line of a probe that was killed may be cut short.
    return undefined;
  }
}

function gpu({ vendor, model, bus, busAddress, vram, memoryTotal }: z.output<typeof controller>): HostFacts['gpus'][number] {
  const memory = memoryTotal ?? vram ?? 0;
  const where = busAddress || bus;
  return { model, vendor, ...(where && { bus: where }), ...(memory > 0 && { memoryMiB: memory }) };
}
