import { seconds } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { all, details, flags, recordedFile, refusal } from '../../recorded-file.testing.js';
import type { PowerEvent } from '../../source.js';
import { nvidiaInventory } from './nvidia-inventory.js';
import { parseNvidiaSmiXml } from './nvidia-smi-xml.js';
import { nvidiaSmiXml } from './nvidia-smi-xml-file.js';
import { standIns, values } from '../program.testing.js';

interface Gpu {
  readonly uuid?: string;
  readonly serial?: string;
  readonly readings: string;
  readonly more?: string;
}
const gpu = ({ uuid = 'GPU-a', serial = '1650000000001', readings, more = '' }: Gpu): string =>
  `<gpu id="00000000:29:00.0"><product_name>NVIDIA GB200</product_name><mig_mode><current_mig>Disabled</current_mig></mig_mode><mig_devices>None</mig_devices><serial>${serial}</serial><uuid>${uuid}</uuid>${more}${readings}</gpu>`;
const document = (time: string, ...gpus: string[]): string => `<?xml version="1.0" ?>\n<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v13.dtd">\n<nvidia_smi_log>\n<timestamp>${time}</timestamp>\n<driver_version>580.1</driver_version>\n${gpus.join('\n')}\n</nvidia_smi_log>\n`;
const own = (average: string, instantly: string): string => `<gpu_power_readings><average_power_draw>${average}</average_power_draw><instant_power_draw>${instantly}</instant_power_draw><current_power_limit>1200.00 W</current_power_limit><min_power_limit>200.00 W</min_power_limit><max_power_limit>1200.00 W</max_power_limit></gpu_power_readings>`;
const module = (average: string): string => `<module_power_readings><average_power_draw>${average}</average_power_draw><instant_power_draw>N/A</instant_power_draw></module_power_readings>`;
const memory = '<gpu_memory_power_readings><average_power_draw>30.26 W</average_power_draw><instant_power_draw>N/A</instant_power_draw></gpu_memory_power_readings>';

const superchips = (time: string): string =>
  document(time, gpu({ readings: own('1 W', 'N/A') + module('467.17 W') }), gpu({ uuid: 'GPU-b', readings: own('2 W', 'N/A') + module('460.15 W') }), gpu({ uuid: 'GPU-c', serial: 'N/A', readings: own('3 W', 'N/A') + module('450 W') }));

const TIME = 'Fri Aug  4 11:44:30 2023';
const events = (content: string, tz = 'UTC', devices?: (string | number)[]): Promise<PowerEvent[]> => all(nvidiaSmiXml.open({ file: recordedFile(content, 'smi.xml'), tz, ...(devices && { devices }) }, {}).events());
const channels = (list: readonly PowerEvent[]) => list.flatMap((event) => (event.kind === 'reading' ? [event.channel] : []));

describe('nvidia-smi -q -x', () => {
  it.each([
    ['≤ 525', '<power_readings><power_state>P0</power_state><power_draw>63.20 W</power_draw></power_readings>', [['GPU-a', 'power.draw', 63.2]]],
    ['535 to 555', '<gpu_power_readings><power_draw>67.03 W</power_draw></gpu_power_readings><module_power_readings><power_draw>N/A</power_draw></module_power_readings>', [['GPU-a', 'power.draw', 67.03]]],
    ['570 and newer', own('165.93 W', '166.00 W'), [['GPU-a', 'power.draw.average', 165.93], ['GPU-a', 'power.draw.instant', 166]]],
    ['an A100', own('N/A', '49.68 W'), [['GPU-a', 'power.draw.instant', 49.68]]],
  ])('is read by its elements, of drivers %s', async (_, readings, expected) => {
    expect(values(await events(document(TIME, gpu({ readings }))))).toEqual(expected);
  });

  it.each(['event', 'throttle'])('tells what holds the clocks back, where drivers call it clocks_%s_reasons', async (name) => {
    const reason = (what: string, state: string): string => `<clocks_${name}_reason_${what}>${state}</clocks_${name}_reason_${what}>`;
    const more = `<clocks><sm_clock>1200 MHz</sm_clock></clocks><max_clocks><sm_clock>1980 MHz</sm_clock></max_clocks><clocks_${name}_reasons>${reason('gpu_idle', 'Active')}${reason('sw_power_cap', 'Not Active')}${reason('hw_slowdown', 'N/A')}${reason('sw_thermal_slowdown', 'Active')}</clocks_${name}_reasons>`;
    const gauges = (await events(document(TIME, gpu({ readings: own('1 W', 'N/A'), more })))).flatMap((event) => (event.kind === 'gauge' && /clock|throttle/.test(event.gauge) ? [[event.gauge, event.value]] : []));
    expect(gauges).toEqual([['gpu.clock.sm', 1200], ['gpu.clock.sm.max', 1980], ['gpu.throttle.power', 0], ['gpu.throttle.thermal', 1]]);
  });

  it('never takes the memory or the module for the board', async () => {
    const list = await events(document(TIME, gpu({ readings: memory + module('467.17 W') + own('165.93 W', 'N/A') })));
    expect(channels(list).map(({ id, device, boundary, use }) => [id, device, boundary, use])).toEqual([
      ['nvidia-smi-xml/GPU-a/power.draw.average', 'GPU-a', 'gpu', undefined],
      ['nvidia-smi-xml/GPU-a/memory.power.draw.average', 'GPU-a', 'gpu', 'check'],
      ['nvidia-smi-xml/1650000000001/module.power.draw.average', '1650000000001', 'module', undefined],
    ]);
  });

  it('counts a module once, said by the same GPU each time; without a serial not at all', async () => {
    const list = await events(superchips(TIME) + superchips('Fri Aug  4 11:44:31 2023'));
    expect(values(list).filter(([, what]) => what.startsWith('module'))).toEqual([['1650000000001', 'module.power.draw.average', 467.17], ['1650000000001', 'module.power.draw.average', 467.17]]);
  });

  it('has local times, whose zone the manifest says', async () => {
    const [reading] = await events(document(TIME, gpu({ readings: own('1 W', 'N/A') })), 'America/Chicago');
    expect(reading).toMatchObject({ at: Date.parse('2023-08-04T16:44:30Z') / 1000 });
  });

  it('skips what is cut off, has no time or is of the same second, and says so', async () => {
    const whole = document(TIME, gpu({ readings: own('1 W', 'N/A') }));
    const later = document('Fri Aug  4 11:44:31 2023', gpu({ readings: own('2 W', 'N/A') }));
    const last = document('Fri Aug  4 11:44:32 2023', gpu({ readings: own('3 W', 'N/A') }));
    const list = await events(whole + whole + later + last.slice(0, 200));
    expect(values(list).map(([, , value]) => value)).toEqual([1, 2]);
    expect(flags(list)).toEqual([['SKIPPED_LINES', 1], ['SKIPPED_LINES', 1]]);
    expect(details(list).join()).toMatch(/not later than the one before it.*cut off/);
  });

  it('counts missing and absurd readings', async () => {
    const list = await events(document(TIME, gpu({ readings: own('N/A', '[Unknown Error]') }), gpu({ uuid: 'GPU-b', readings: own('65535.00 W', 'N/A') })));
    expect(values(list)).toEqual([]);
    expect(flags(list)).toEqual([['MISSING_READINGS', 1], ['ABSURD_READING', 1]]);
  });

  it('gives the GPUs that devices names, and refuses one that is not there', async () => {
    const text = document(TIME, gpu({ readings: own('1 W', 'N/A') }), gpu({ uuid: 'GPU-b', readings: own('2 W', 'N/A') }));
    expect(values(await events(text, 'UTC', [1]))).toEqual([['GPU-b', 'power.draw.average', 2]]);
    expect(await refusal(events(text, 'UTC', ['GPU-a', 'GPU-z']))).toBe('DEVICES_MISMATCH: smi.xml has no device GPU-z: it holds GPU-a; correct devices.');
  });

  it('that is something else is refused', async () => {
    expect(await refusal(events(''))).toMatch(/^FILE_EMPTY/);
    expect(await refusal(events('timestamp, power.draw [W]\n'))).toMatch(/^FILE_FORMAT: .*it looks like nvidia-smi CSV/);
    expect(await refusal(events('<?xml version="1.0"?>\n<svg></svg>\n'))).toMatch(/^FILE_FORMAT/);
    expect(await refusal(events('<nvidia_smi_log>\n<timestamp>x</wrong>\n</nvidia_smi_log>\n'))).toMatch(/^FILE_FORMAT: .*not well-formed/);
  });

  it('lists MIG devices, limits and gauges', () => {
    const more = '<mig_devices><mig_device><index>0</index><gpu_instance_id>1</gpu_instance_id><compute_instance_id>0</compute_instance_id></mig_device></mig_devices><utilization><gpu_util>35 %</gpu_util></utilization><temperature><gpu_temp>41 C</gpu_temp></temperature>';
    const text = document(TIME, gpu({ readings: own('1 W', 'N/A') }).replace('<mig_devices>None</mig_devices>', more).replace('Disabled', 'Enabled'));
    expect(parseNvidiaSmiXml(text).gpus[0]).toMatchObject({
      migEnabled: true,
      migDevices: [{ gpuInstance: 1, computeInstance: 0 }],
      limits: { enforced: 1200, lowest: 200, highest: 1200 },
      gauges: [{ gauge: 'gpu.utilization', value: 0.35 }, { gauge: 'gpu.temperature', value: 41 }, { gauge: 'gpu.power.limit', value: 1200 }],
    });
  });
});

describe('the inventory', () => {
  it('says what is there, and what to do where nothing is', async () => {
    const stand = standIns();
    try {
      stand.program('nvidia-smi', `if (args === '-q -x') say(${JSON.stringify(document(TIME, gpu({ readings: own('1 W', 'N/A') })))}); process.exit(0);`);
      expect(await nvidiaInventory(stand.environment)).toEqual({
        driver: '580.1',
        gpus: [{ uuid: 'GPU-a', name: 'NVIDIA GB200', serial: '1650000000001', busId: '00000000:29:00.0', migEnabled: false, migDevices: [], limits: { enforced: 1200, lowest: 200, highest: 1200 } }],
      });
      stand.program('nvidia-smi', `say("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\\n"); process.exit(9);`);
      await expect(nvidiaInventory(stand.environment)).rejects.toThrow(/exit code 9: NVIDIA-SMI has failed/);
      stand.program('nvidia-smi', 'setInterval(() => {}, 1000)');
      await expect(nvidiaInventory(stand.environment, 'nvidia-smi', seconds(0.5))).rejects.toMatchObject({ code: 'NVIDIA_SMI_FAILED', remedy: 'retry' });
      await expect(nvidiaInventory({ PATH: '/nowhere' })).rejects.toMatchObject({ code: 'NVIDIA_SMI_MISSING', remedy: 'disable' });
    } finally {
      stand.remove();
    }
  });
});
