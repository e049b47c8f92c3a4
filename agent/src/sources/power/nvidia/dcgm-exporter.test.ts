import { createServer, type Server } from 'node:http';
import { instant, seconds } from '@joulebook/shared/units.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { all, details, flags, recordedFile, refusal } from '../../recorded-file.testing.js';
import { parsePrometheusText } from '../../serving/metrics/prometheus-text.js';
import type { PowerEvent } from '../../source.js';
import { dcgmExporter, dcgmExporterAt, liveDcgmExporter } from './dcgm-exporter.js';
import { dcgmPages, isOfDcgm } from './dcgm-exposition.js';
import { until, values } from '../program.testing.js';

const labels = (gpu: number, more = ''): string => `{gpu="${gpu}",UUID="GPU-${gpu}${gpu}",device="nvidia${gpu}",modelName="NVIDIA H100 80GB HBM3",Hostname="node"${more}}`;
const mig = (id: number): string => labels(0, `,GPU_I_PROFILE="2g.20gb",GPU_I_ID="${id}"`);
const read = (text: string): PowerEvent[] => [...dcgmPages('dcgm-exporter', seconds(30)).read(parsePrometheusText(text).samples.filter(isOfDcgm), instant(1))];

describe('a page of dcgm-exporter', () => {
  it('gives power, instant power and the counter in mJ, each with what is known of its sensor', () => {
    const events = read(`DCGM_FI_DEV_POWER_USAGE${labels(0)} 433.78\nDCGM_FI_DEV_POWER_USAGE_INSTANT${labels(0)} 447.35\nDCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION${labels(0)} 5551899580\n`);
    expect(values(events)).toEqual([['GPU-00', 'DCGM_FI_DEV_POWER_USAGE', 433.78], ['GPU-00', 'DCGM_FI_DEV_POWER_USAGE_INSTANT', 447.35], ['GPU-00', 'DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION', 5_551_899_580_000n]]);
    expect(events.flatMap((event) => (event.kind === 'reading' ? [[event.channel.measures, event.channel.sensor.averagedOver, event.channel.sensor.refresh]] : []))).toEqual([['power', 1, 30], ['power', 0.025, 30], ['counter', undefined, 30]]);
  });

  it('counts a board with MIG once, whichever of its instances has a value', () => {
    expect(values(read(`DCGM_FI_DEV_POWER_USAGE${mig(3)} 78.174\nDCGM_FI_DEV_POWER_USAGE${mig(5)} 78.174\nDCGM_FI_DEV_POWER_USAGE${mig(6)} 78.446\n`))).toEqual([['GPU-00', 'DCGM_FI_DEV_POWER_USAGE', 78.174]]);
    expect(values(read(`DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION${mig(3)} 9223372036854775794\nDCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION${mig(5)} 12\n`))).toEqual([['GPU-00', 'DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION', 12_000n]]);
  });

  it.each([
    ['DCGM_FI_DEV_BOARD_POWER_WATTS{gpu="1",uuid="GPU-x",model_name="NVIDIA L4",hostname="n"}', 'DCGM_FI_DEV_POWER_USAGE'],
    ['DCGM_FI_DEV_BOARD_POWER_RAW_WATTS{gpu="1",gpu_uuid="GPU-x"}', 'DCGM_FI_DEV_POWER_USAGE_INSTANT'],
    ['dcgm_power_usage{gpu="1", uuid="GPU-x"}', 'DCGM_FI_DEV_POWER_USAGE'],
  ])('knows the names of other versions: %s', (name, what) => {
    expect(values(read(`${name} 50\n`))).toEqual([['GPU-x', what, 50]]);
  });

  it('says once what stands in two spellings', () => {
    expect(values(read(`DCGM_FI_DEV_POWER_USAGE${labels(0)} 50\nDCGM_FI_DEV_BOARD_POWER_WATTS${labels(0)} 50\n`))).toHaveLength(1);
  });

  it.each(['9223372036854775794', '140737488355328', '-1', 'NaN', '+Inf', '65535'])('makes no reading of %s', (value) => {
    const events = read(`DCGM_FI_DEV_POWER_USAGE${labels(0)} ${value}\n`);
    expect(values(events)).toEqual([]);
    expect(flags(events)).toHaveLength(1);
  });

  it('takes the module of a superchip once per socket, and the CPU rail as a check only', () => {
    const events = read('DCGM_FI_DEV_MODULE_POWER_UTIL_CURRENT{cpu="0"} 467.17\nDCGM_FI_DEV_MODULE_POWER_UTIL_CURRENT{cpu="0"} 460.15\nDCGM_FI_DEV_CPU_POWER_UTIL_CURRENT{cpu="0"} 31.427\n');
    expect(events).toMatchObject([
      { channel: { device: 'module0', boundary: 'module' }, power: 467.17 },
      { channel: { device: 'cpu0', boundary: 'cpu', use: 'check' }, power: 31.427 },
    ]);
  });

  it('of an instance with a UUID of its own finds the board by its number', () => {
    const text = 'DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="MIG-1"} 50\nDCGM_FI_DEV_GPU_TEMP{gpu="0",UUID="GPU-00"} 31\n';
    expect(values(read(text))).toEqual([['GPU-00', 'DCGM_FI_DEV_POWER_USAGE', 50]]);
  });
});

const gaugesOf = (events: readonly PowerEvent[]) => events.flatMap((event) => (event.kind === 'gauge' ? [[event.device, event.gauge, event.value]] : []));

describe('throttling on a page', () => {
  it('is told by a mask under either name, and the clock by now and at most', () => {
    expect(gaugesOf(read(`DCGM_FI_DEV_SM_CLOCK${labels(0)} 1200\nDCGM_FI_DEV_MAX_SM_CLOCK${labels(0)} 1980\nDCGM_FI_DEV_CLOCK_THROTTLE_REASONS${labels(0)} 4\n`))).toEqual([
      ['GPU-00', 'gpu.clock.sm', 1200], ['GPU-00', 'gpu.clock.sm.max', 1980], ['GPU-00', 'gpu.throttle.power', 1], ['GPU-00', 'gpu.throttle.thermal', 0], ['GPU-00', 'gpu.throttle.other', 0],
    ]);
    expect(gaugesOf(read(`DCGM_FI_DEV_CLOCKS_EVENT_REASONS${labels(0)} 72\nDCGM_FI_DEV_CLOCK_THROTTLE_REASONS${labels(0)} 4\n`))[1]).toEqual(['GPU-00', 'gpu.throttle.thermal', 1]);
    expect(gaugesOf(read(`DCGM_FI_DEV_CLOCKS_EVENT_REASONS${labels(0)} 9223372036854775794\n`))).toEqual([]);
  });

  it('is told by the counters in ns where they are, whatever a mask says of one moment', () => {
    const pages = dcgmPages('dcgm-exporter', seconds(30));
    const look = (at: number, power: number, heat: number) => gaugesOf([...pages.read(parsePrometheusText(`DCGM_FI_DEV_POWER_VIOLATION${labels(0)} ${power}\nDCGM_FI_DEV_THERMAL_VIOLATION${labels(0)} ${heat}\nDCGM_FI_DEV_CLOCK_THROTTLE_REASONS${labels(0)} 4\n`).samples.filter(isOfDcgm), instant(at))]);
    expect(look(0, 7e9, 0)).toEqual([['GPU-00', 'gpu.throttle.other', 0]]);
    expect(look(30, 13e9, 0)).toEqual([['GPU-00', 'gpu.throttle.power', 0.2], ['GPU-00', 'gpu.throttle.thermal', 0], ['GPU-00', 'gpu.throttle.other', 0]]);
  });
});

describe('a dcgm-exporter that is scraped', () => {
  let server: Server;
  let url: string;
  let answer: () => { status: number; body: string };
  beforeEach(async () => {
    await new Promise<void>((resolve) => {
      server = createServer((_, response) => {
        const { status, body } = answer();
        response.writeHead(status).end(body);
      }).listen(0, '127.0.0.1', resolve);
    });
    const address = server.address();
    url = `http://user:secret@127.0.0.1:${typeof address === 'object' && address ? address.port : 0}/metrics`;
  });
  afterEach(async () => {
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  });
  const source = () => dcgmExporterAt({ url, period: seconds(0.05), timeout: seconds(5), collected: seconds(30) });

  it('gives readings, breaks when it fails, and comes back; an address is told without its password', async () => {
    let asked = 0;
    answer = () => {
      asked += 1;
      return asked === 3 ? { status: 503, body: '' } : { status: 200, body: `DCGM_FI_DEV_POWER_USAGE${labels(0)} ${asked}\n` };
    };
    const events = await until(source(), {}, (soFar) => values(soFar).length >= 4);
    expect(values(events).map(([, , value]) => value)).toEqual([1, 2, 4, 5]);
    expect(events.filter((event) => event.kind === 'break')).toMatchObject([{ channels: [{ device: 'GPU-00' }] }]);
    expect(flags(events)).toEqual([['METRICS_REFUSED', 1]]);
    expect(JSON.stringify([details(events), source().description])).not.toContain('secret');
  });

  it('that is another program is said', async () => {
    answer = () => ({ status: 200, body: 'node_load1 0.5\n' });
    const events = await until(source(), {}, (soFar) => flags(soFar).length > 0);
    expect(flags(events)).toEqual([['NOT_DCGM_EXPORTER', 1]]);
  });

  it('is configured by an address, and a wrong one is a usage error', () => {
    expect(liveDcgmExporter.open({}).description).toBe('http://localhost:9400/metrics every 10 s');
    expect(() => liveDcgmExporter.open({ url: 'ftp://x' })).toThrow(/url/);
  });
});

const events = (content: string, devices?: string[]): Promise<PowerEvent[]> => all(dcgmExporter.open({ file: recordedFile(content, 'dcgm.txt'), tz: 'UTC', ...(devices && { devices }) }, { collected: '1s' }).events());

describe('recorded scrapes of dcgm-exporter', () => {
  const pages = [0, 1].map((at) => `# scrape ${1_778_572_800 + at}\n${[0, 1].map((gpu) => `DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION${labels(gpu)} ${1000 * at + gpu}\n`).join('')}`).join('');

  it('are read by their marks, and devices choose', async () => {
    expect(values(await events(pages)).map(([device, , value]) => [device, value])).toEqual([['GPU-00', 0n], ['GPU-11', 1000n], ['GPU-00', 1_000_000n], ['GPU-11', 1_001_000n]]);
    expect(values(await events(pages, ['1'])).map(([device]) => device)).toEqual(['GPU-11', 'GPU-11']);
  });

  it('without times, or of another program, are refused', async () => {
    expect(await refusal(events(`DCGM_FI_DEV_POWER_USAGE${labels(0)} 5\n`))).toMatch(/^SCRAPE_TIME_MISSING/);
    expect(await refusal(events('# scrape 1778572800\nnode_load1 1\n'))).toMatch(/^FILE_FORMAT: dcgm\.txt holds no power or energy/);
    expect(await refusal(events('timestamp, power.draw [W]\n'))).toMatch(/^FILE_FORMAT: .*dcgm-exporter page: it has no DCGM_FI_DEV_ sample; it looks like nvidia-smi CSV/);
  });
});
