/** Every captured or quoted output of a GPU's tool: what stands in it comes out, or it is said here why nothing can. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { instant, seconds } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { all, flags, recordedFile, refusal } from '../recorded-file.testing.js';
import type { RecordedPowerEntry } from '../recorded.js';
import { parsePrometheusText } from '../serving/metrics/prometheus-text.js';
import type { PowerEvent } from '../source.js';
import { amdReader } from './other-gpus/amd-reader.js';
import { amdSmiMetric } from './other-gpus/amd-smi.js';
import { dcgmExporter } from './nvidia/dcgm-exporter.js';
import { dcgmPages, isOfDcgm } from './nvidia/dcgm-exposition.js';
import { dcgmiDmon } from './nvidia/dcgmi-dmon-file.js';
import { fieldsKnown } from './nvidia/nvidia-smi-fields.js';
import { nvidiaSmiCsv } from './nvidia/nvidia-smi-csv.js';
import { powerCell } from './nvidia/nvidia-smi-row.js';
import { nvidiaSmiStream } from './nvidia/nvidia-smi-stream.js';
import { parseNvidiaSmiXml } from './nvidia/nvidia-smi-xml.js';
import { nvidiaSmiXml } from './nvidia/nvidia-smi-xml-file.js';
import { values } from './program.testing.js';
import { rocmSmiGpus } from './other-gpus/rocm-smi.js';

const folder = fileURLToPath(new URL('../../../../../shared/power-samples/', import.meta.url));
const isPresent = existsSync(folder);
const text = (name: string): string => readFileSync(`${folder}${name}`, 'utf8');
const entry = (name: string): RecordedPowerEntry => ({ file: { file: `${folder}${name}`, label: name }, tz: 'UTC' });
const boundaryOf = (events: readonly PowerEvent[], boundary: string): PowerEvent[] => events.filter((event) => event.kind === 'reading' && event.channel.boundary === boundary && event.channel.use !== 'check');
const watts = (events: readonly PowerEvent[], what: string): (number | bigint)[] => values(events).flatMap(([, of, value]) => (of === what ? [value] : []));

/** power.draw, .average, .instant; undefined where [N/A] stands. */
const CSV: Readonly<Record<string, readonly [draw: number, average: number | undefined, instantly: number]>> = {
  'geforce-rtx-2080-super-595.71.05-query-gpu-idle': [39.32, undefined, 39.32],
  'geforce-rtx-2080-super-595.71.05-query-gpu-load': [111.5, undefined, 111.5],
  'geforce-rtx-2080-super-610.57.04-query-gpu-idle': [39.17, undefined, 39.17],
  'geforce-rtx-2080-super-610.57.04-query-gpu-load': [98.14, undefined, 98.14],
  'geforce-rtx-4080-super-595.71.05-query-gpu-idle': [26.2, 26.2, 28.77],
  'geforce-rtx-4080-super-595.71.05-query-gpu-load': [84.24, 84.24, 86.41],
  'h100-80gb-hbm3-590.48.01-query-gpu-idle': [69.85, 69.85, 69.62],
  'h100-80gb-hbm3-590.48.01-query-gpu-load': [631.95, 631.95, 625.68],
  'h100-mig-590.48.01-query-gpu-idle': [71.15, 71.15, 70.72],
  'h100-mig-590.48.01-query-gpu-load': [433.78, 433.78, 447.35],
  'h200-590.48.01-query-gpu-idle': [77.71, 77.71, 78.21],
  'h200-590.48.01-query-gpu-load': [627.4, 627.4, 626.26],
  'h200-mig-590.48.01-query-gpu-idle': [78.28, 78.28, 78.21],
  'h200-mig-590.48.01-query-gpu-load': [295.01, 295.01, 294.14],
  'l40s-595.80-query-gpu-idle': [144.97, 144.97, 127.67],
  'l40s-595.80-query-gpu-load': [110.23, 110.23, 112.38],
  'win-geforce-rtx-2080-super-591.86-query-gpu-idle': [38.92, undefined, 38.92],
  'win-geforce-rtx-2080-super-591.86-query-gpu-load': [97.43, undefined, 97.43],
  'win-geforce-rtx-2080-super-610.62-query-gpu-idle': [39.25, undefined, 39.25],
  'win-geforce-rtx-2080-super-610.62-query-gpu-load': [97.99, undefined, 97.99],
};

interface Xml {
  readonly draw?: readonly number[];
  readonly average?: readonly number[];
  readonly instantly?: readonly number[];
  readonly memory?: readonly number[];
  /** Average and instant power of each module. */
  readonly modules?: readonly (readonly [number, number])[];
}
const XML: Readonly<Record<string, Xml>> = {
  a100: { instantly: [49.68] },
  h100: { average: [68.57, 67.01, 67.45, 71.37, 66.66, 68.11, 69.8, 68.07], instantly: [68.92, 67.16, 67.74, 71.77, 66.34, 68.25, 70.01, 68.18], memory: [32.98, 39.71, 39.92, 46.07, 36.03, 36.7, 35.37, 36.89] },
  b200: { average: [195.68, 206, 194.61, 204.12, 194.32, 202.14, 194.55, 205.21], instantly: [195.79, 205.94, 194.53, 204.43, 193.93, 202.57, 194.99, 204.74], memory: [22.33, 21.36, 22.53, 20.29, 21.59, 21.12, 24.51, 23.57] },
  gb200: { average: [165.93, 168.57, 156.48, 171.99], instantly: [165.93, 168.57, 156.48, 171.61], memory: [30.26, 29.16, 31.03, 34.7], modules: [[467.17, 467.68], [459.8, 459.64]] },
  gb300: { average: [180.36, 176.26, 175.92, 180.05], instantly: [180.29, 176.26, 175.91, 180.05], memory: [35.7, 36.59, 34.95, 42.2], modules: [[488.29, 487.68], [496.85, 500.53]] },
  l40s: { average: [65.64], instantly: [66.16] },
  t4: { instantly: [33.51] },
  // Four boards stood in the machine; the capture was cut to the first.
  'telegraf-a100-sxm4-v12': { draw: [67.03] },
  'telegraf-a10g': { draw: [25.58] },
  'telegraf-rtx-3080-v13': { average: [139.62], instantly: [142.33] },
  'telegraf-rtx-3090-v12': { draw: [27.23] },
  'telegraf-rtx-4000-sff-ada-v13': { average: [8.81], instantly: [8.44] },
  'telegraf-tesla-t4': { draw: [26.78] },
};

/** Watts of each card; undefined where none stands. */
const ROCM: Readonly<Record<string, readonly (number | undefined)[]>> = {
  mi100_rocm571: [39, 37, 35, 39, 39, 40],
  mi100_rocm602: [36, 44, 43, 39],
  rx6700xt_rocm430: [6],
  rx6700xt_rocm571: [6],
  rx6700xt_rocm602: [undefined],
  rx6700xt_rocm612: [6],
  'vega-10-XT': [15],
  'vega-20-WKS-GL-XE': [26],
};

const NOTHING: readonly (readonly [RegExp, string])[] = [
  [/compute-apps-(?:idle|load)\.csv$/, 'who uses a GPU; no power in it'],
  [/-dmon-load\.txt$/, 'nvidia-smi dmon: whole watts for people; the query says more'],
  [/-q-load\.txt$/, 'nvidia-smi -q for people; -q -x says the same for programs'],
  [/-table-load\.txt$/, 'the table for people'],
  [/-list\.txt$/, 'names of MIG devices; power can not be told per instance'],
  [/-power-names\.txt$/, 'names found in binaries'],
  [/man-550-power-changes\.txt$/, 'a change log'],
  [/^dcgm-exporter-default-counters-power\.csv$/, "the exporter's configuration"],
  [/^amd-smi-metric-power\.txt$/, 'for people; the agent asks for --json'],
  [/^rocm-smi-(?:mi250-showpower|showenergycount)\.txt$/, 'for people; the agent asks for --json'],
  [/^xpu-smi-dump-metrics\.txt$/, 'documentation'],
];

describe.skipIf(!isPresent)(`samples of GPU tools${isPresent ? '' : ' (skipped: ../shared/power-samples is not here)'}`, () => {
  const files = isPresent ? readdirSync(folder).filter((name) => /^(?:nvidia-smi|dcgm|rocm|amd|xpu)/.test(name) && !name.endsWith('.src')) : [];

  it('are each looked at here', () => {
    const lookedAt = [
      ...Object.keys(CSV).map((name) => `nvidia-smi-${name}.csv`),
      ...Object.keys(XML).map((name) => `nvidia-smi-qx-${name}.xml`),
      ...Object.keys(ROCM).map((name) => `rocm-smi-${name}.json`),
      ...['a800-mig', 'l4', 'l40s', 'sentinel'].map((name) => `dcgm-exporter-${name}.txt`),
      'dcgmi-dmon-constructed.txt',
      'nvidia-smi-csv-sentinels.txt',
      'nvidia-smi-failures.txt',
      ...files.filter((name) => name.endsWith('-help-query-gpu.txt') || NOTHING.some(([shape]) => shape.test(name))),
    ];
    expect(files.length).toBeGreaterThan(80);
    expect(files.filter((name) => !lookedAt.includes(name))).toEqual([]);
    expect(lookedAt.filter((name) => !files.includes(name))).toEqual([]);
  });

  it.each(Object.entries(CSV))('nvidia-smi-%s.csv: every power column, and power.draw once recorded', async (name, [draw, average, instantly]) => {
    const { events } = nvidiaSmiStream().read(text(`nvidia-smi-${name}.csv`), instant(1));
    expect(values(events).map(([, ...said]) => said)).toEqual([['power.draw', draw], ...(average === undefined ? [] : [['power.draw.average', average]]), ['power.draw.instant', instantly]]);
    expect(flags(events)).toEqual([]);
    const recorded = await all(nvidiaSmiCsv.open(entry(`nvidia-smi-${name}.csv`), {}).events());
    expect(values(recorded)).toEqual([['GPU-00000000-0000-0000-0000-000000000000', 'power.draw', draw]]);
  });

  it.each(Object.entries(XML))('nvidia-smi-qx-%s.xml: power of boards, memory and modules', async (name, { draw = [], average = [], instantly = [], memory = [], modules = [] }) => {
    const events = await all(nvidiaSmiXml.open(entry(`nvidia-smi-qx-${name}.xml`), {}).events());
    expect(watts(events, 'power.draw')).toEqual(draw);
    expect(watts(events, 'power.draw.average')).toEqual(average);
    expect(watts(events, 'power.draw.instant')).toEqual(instantly);
    expect(watts(events, 'memory.power.draw.average')).toEqual(memory);
    expect(watts(boundaryOf(events, 'module'), 'module.power.draw.average')).toEqual(modules.map(([each]) => each));
    expect(watts(boundaryOf(events, 'module'), 'module.power.draw.instant')).toEqual(modules.map(([, each]) => each));
    expect(flags(events)).toEqual([]);
  });

  it('nvidia-smi-qx-telegraf-a100-sxm4-v12.xml has MIG devices, and the time it says', async () => {
    const { gpus, timestamp, driver } = parseNvidiaSmiXml(text('nvidia-smi-qx-telegraf-a100-sxm4-v12.xml'));
    expect({ timestamp, driver, mig: gpus[0]?.migEnabled, devices: gpus[0]?.migDevices.length }).toEqual({ timestamp: 'Fri Aug  4 11:44:30 2023', driver: '535.54.03', mig: true, devices: 4 });
    const [first] = await all(nvidiaSmiXml.open(entry('nvidia-smi-qx-telegraf-a100-sxm4-v12.xml'), {}).events());
    expect(first).toMatchObject({ at: Date.parse('2023-08-04T11:44:30Z') / 1000 });
  });

  it('nvidia-smi-*-help-query-gpu.txt: what is known is asked, energy is not among it', () => {
    for (const name of files.filter((each) => each.endsWith('-help-query-gpu.txt'))) {
      expect(fieldsKnown(text(name)), name).toBe('timestamp,index,uuid,name,power.draw,utilization.gpu,temperature.gpu,clocks.sm,memory.used,power.draw.average,power.draw.instant,module.power.draw.average,module.power.draw.instant,serial,enforced.power.limit,clocks.max.sm,clocks_event_reasons.active');
    }
  });

  it('nvidia-smi-csv-sentinels.txt and nvidia-smi-failures.txt give no reading', () => {
    for (const line of text('nvidia-smi-csv-sentinels.txt').trim().split('\n')) expect(powerCell(line.trim()).kind).toBe('missing');
    const stream = nvidiaSmiStream();
    expect(values(stream.read(text('nvidia-smi-failures.txt'), instant(1)).events)).toEqual([]);
    expect(stream.words).toBeDefined();
  });

  it('dcgm-exporter-a800-mig.txt: eight boards, the one with three instances once', async () => {
    const events = await all(dcgmExporter.open({ file: recordedFile(`# scrape 1778572800\n${text('dcgm-exporter-a800-mig.txt')}`), tz: 'UTC' }, {}).events());
    expect(watts(events, 'DCGM_FI_DEV_POWER_USAGE')).toEqual([78.174, 55.942, 53.752, 56.99, 58.643, 54.581, 57.145, 55.011]);
    expect(watts(events, 'DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION')).toEqual([257_858_316_000n, 187_554_325_000n, 179_711_977_000n, 190_722_266_000n, 196_329_125_000n, 182_536_958_000n, 191_045_467_000n, 183_986_286_000n]);
    expect(new Set(values(events).map(([device]) => device)).size).toBe(8);
  });

  it.each([
    ['l4', 16.365, 4_742_776_000n, 'GPU-c2f76b33-7953-256e-8f33-1343419b1a1c'],
    ['l40s', 35.686, 5_551_899_580_000n, 'GPU-5b4e07f6-3a86-4340-039d-25f2a83cdc43'],
  ] as const)('dcgm-exporter-%s.txt: power and the counter of one board', (name, power, energy, device) => {
    const events = dcgmPages('dcgm-exporter', seconds(30)).read(parsePrometheusText(text(`dcgm-exporter-${name}.txt`)).samples.filter(isOfDcgm), instant(1));
    expect(values(events)).toEqual([[device, 'DCGM_FI_DEV_POWER_USAGE', power], [device, 'DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION', energy]]);
  });

  it("dcgm-exporter-sentinel.txt: no power in it, and DCGM's value for none is no gauge", () => {
    const events = dcgmPages('dcgm-exporter', seconds(30)).read(parsePrometheusText(text('dcgm-exporter-sentinel.txt')).samples, instant(1));
    expect(events).toMatchObject([{ kind: 'gauge', gauge: 'gpu.clock.sm', value: 139 }]);
  });

  it('dcgmi-dmon-constructed.txt: 15 rounds of two boards, the row of an instance is none', async () => {
    const events = await all(dcgmiDmon.open(entry('dcgmi-dmon-constructed.txt'), { start: '2026-05-12T08:00:00Z', every: '1s' }).events());
    expect(watts(events, 'POWER')).toHaveLength(30);
    expect(values(events).slice(0, 6)).toEqual([
      ['gpu0', 'POWER', 78.174], ['gpu0', 'POWINST', 77.774], ['gpu0', 'TOTEC', 257_936_490_000n],
      ['gpu1', 'POWER', 55.942], ['gpu1', 'POWINST', 55.542], ['gpu1', 'TOTEC', 187_610_267_000n],
    ]);
    expect(values(events).at(-1)).toEqual(['gpu1', 'TOTEC', 188_399_167_000n]);
    expect(flags(events)).toEqual([]);
  });

  it.each(Object.entries(ROCM))('rocm-smi-%s.json: power of each card', (name, expected) => {
    const gpus = rocmSmiGpus(text(`rocm-smi-${name}.json`)) ?? [];
    expect(gpus.map(({ power }) => (typeof power === 'number' ? power : undefined))).toEqual(expected);
    expect(values(amdReader('rocm-smi').read(gpus, instant(1))).map(([, , value]) => value)).toEqual(expected.filter((value) => value !== undefined));
  });

  it('rocm-smi-mi100_rocm602.json and others name boards by their unique id, not by the serial 0 that all have', () => {
    expect(rocmSmiGpus(text('rocm-smi-mi100_rocm602.json'))?.map(({ device }) => device)).toEqual(['0x79ccd55167a2124a', '0x4edfb117a17a07d', '0xd4a9ec48d03d261d', '0x1b9dd972253c3736']);
    expect(rocmSmiGpus(text('rocm-smi-mi100_rocm571.json'))?.map(({ device }) => device)).toEqual(['gpu0', 'gpu1', 'gpu2', 'gpu3', 'gpu4', 'gpu5']);
    expect(rocmSmiGpus(text('rocm-smi-vega-20-WKS-GL-XE.json'))?.[0]?.device).toBe('0x2f048617326b1ea');
  });

  it.each(files.filter((name) => NOTHING.some(([shape]) => shape.test(name))).map((name) => [name, NOTHING.find(([shape]) => shape.test(name))?.[1] ?? '']))('%s gives nothing: %s', async (name) => {
    expect(await refusal(all(nvidiaSmiCsv.open(entry(name), {}).events()))).toMatch(/^FILE_(?:FORMAT|EMPTY): /);
    expect(values(nvidiaSmiStream().read(text(name), instant(1)).events)).toEqual([]);
    expect(amdSmiMetric(text(name)) ?? []).toEqual([]);
  });
});
