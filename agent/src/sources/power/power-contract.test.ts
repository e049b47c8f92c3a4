/** Every live power source of `sources/index.ts` against the promises of all, or a reason why not here. */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { seconds } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { livePowerKinds } from '../index.js';
import { named } from '../named.js';
import type { LivePower } from '../source.js';
import { amdSmi } from './other-gpus/amd-smi.js';
import { BREAK, startServer, type TestServerOptions } from './meters/http-server.testing.js';
import { hasIpmiSim, OPERATOR, startIpmiSim } from './host/ipmi-sim.testing.js';
import { float32, startModbus } from './meters/modbus-server.testing.js';
import { powerContract, type PowerSubject } from './power-contract.js';
import { standIns } from './program.testing.js';
import { rocmSmi } from './other-gpus/rocm-smi.js';
import { COMMUNITY, SNMPD, startSnmpd, V3_USER } from './meters/snmpd.testing.js';
import { sysfsTree } from './host/sysfs-tree.testing.js';

/** Sources whose stand-in is elsewhere, and the test that runs the contract there. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  // The library it loads is C, compiled by what test/ has for it.
  nvml: '../../../../test/nvml/nvml-contract.test.ts',
};

interface Case {
  readonly open: () => Promise<PowerSubject>;
  readonly skip?: string;
}

const source = (name: string, options: Readonly<Record<string, unknown>>): LivePower => named('source', livePowerKinds, name).open(options);

/**
 * A program that answers its questions and prints rows, until a file beside it says that its sensor is gone.
 * @param open past the kind's options where those allow no period short enough for a test
 */
async function program(name: string, questions: Readonly<Record<string, string>>, header: string, row: string, open: (command: string) => LivePower): Promise<PowerSubject> {
  const stand = standIns();
  const command = stand.program(
    name,
    `const fs = require('fs');
     const gone = () => fs.existsSync(__dirname + '/gone');
     if (gone()) { say('No devices were found\\n'); process.exit(6); }
     for (const [question, answer] of Object.entries(${JSON.stringify(questions)})) if (args.startsWith(question)) { say(answer); process.exit(0); }
     say(${JSON.stringify(header)});
     let n = 0;
     setInterval(() => { n += 1; if (gone()) process.exit(15); say(${JSON.stringify(row)}.replace('COUNT', 1000 + n)); }, 40);`,
  );
  return { source: open(command), environment: stand.environment, vanish: () => writeFile(join(stand.directory, 'gone'), ''), stop: () => stand.remove() };
}

/** A device that answers by HTTP, until it breaks every connection. */
async function device(answer: TestServerOptions['answer'], open: (url: string) => LivePower, more: Partial<TestServerOptions> & Pick<PowerSubject, 'environment' | 'secrets'> = {}): Promise<PowerSubject> {
  let gone = false;
  const server = await startServer({ ...more, answer: (path) => (gone ? BREAK : answer(path)) });
  return {
    source: open(server.url),
    ...(more.environment && { environment: more.environment }),
    ...(more.secrets && { secrets: more.secrets }),
    vanish: async () => {
      gone = true;
    },
    stop: () => server.stop(),
  };
}

const SMI_HELP = 'List of valid properties to query:\n\n"power.draw"\nThe last measured power draw.\n';
const SMI_HEADER = 'timestamp, index, uuid, name, power.draw [W], utilization.gpu [%], temperature.gpu, clocks.current.sm [MHz], memory.used [MiB]\n';
const SMI_ROW = '2026/07/14 08:12:53.500, 0, GPU-00-x, NVIDIA H100 80GB HBM3, 301.25, 97, 63, 1980, 71234\n';
const DMON_HEADER = `${'#Entity'.padEnd(16)}${'POWER'.padEnd(18)}${'POWINST'.padEnd(18)}${'TOTEC'.padEnd(24)}\n${'ID'.padEnd(16)}${'W'.padEnd(18)}${'W'.padEnd(18)}${'mJ'.padEnd(24)}\n`;
const DMON_ROW = `${'GPU 0'.padEnd(16)}${'78.174'.padEnd(18)}${'77.774'.padEnd(18)}${'COUNT'.padEnd(24)}\n`;
const DISCOVERY = '1 GPU found.\n+--------+------------------------+\n| GPU ID | Device Information     |\n+--------+------------------------+\n| 0      | Name: NVIDIA H100      |\n|        | Device UUID: GPU-aaaa  |\n+--------+------------------------+\n';
const ROCM = JSON.stringify({ card0: { 'Unique ID': '0x79ccd55167a2124a', 'Average Graphics Package Power (W)': '36.0' } });
const METRIC = JSON.stringify([{ gpu: 0, power: { socket_power: { value: 717, unit: 'W' } } }]);
const AMD_LIST = '[{"gpu":0,"uuid":"b6ff74a0-0000-1000-80ae-7c8cefe1f084"}]';
const REDFISH: Readonly<Record<string, unknown>> = {
  '/redfish/v1/Chassis': { Members: [{ '@odata.id': '/redfish/v1/Chassis/1' }] },
  '/redfish/v1/Chassis/1': { ChassisType: 'RackMount', EnvironmentMetrics: { '@odata.id': '/redfish/v1/Chassis/1/EnvironmentMetrics' } },
  '/redfish/v1/Chassis/1/EnvironmentMetrics': { PowerWatts: { Reading: 374 } },
};
const PASSWORD = 'kept-quiet-8812';

const CASES: Readonly<Record<string, Case>> = {
  'nvidia-smi': { open: () => program('nvidia-smi', { '--help-query-gpu': SMI_HELP }, SMI_HEADER, SMI_ROW, (command) => source('nvidia-smi', { command, period: 0.05 })) },
  dcgmi: { open: () => program('dcgmi', { discovery: DISCOVERY }, DMON_HEADER, DMON_ROW, (command) => source('dcgmi', { command, period: 0.1 })) },
  'xpu-smi': { open: () => program('xpu-smi', { '--help': 'Usage: xpu-smi dump', discovery: '{"device_list":[]}' }, 'Timestamp, DeviceId, GPU Power (W), GPU Energy Consumed (J)\n', '06:14:46.000, 0, 50.5, N/A\n', (command) => source('xpu-smi', { command, period: 0.1 })) },
  'amd-smi': { open: () => program('amd-smi', { metric: METRIC, list: AMD_LIST }, '', '', (command) => amdSmi({ command, period: seconds(0.3) })) },
  'rocm-smi': { open: () => program('rocm-smi', { '-': ROCM }, '', '', (command) => rocmSmi({ command, period: seconds(0.3) })) },
  'dcgm-exporter': { open: () => device(() => 'DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-aaaa",device="nvidia0",modelName="NVIDIA L40S"} 78.174\n', (url) => source('dcgm-exporter', { url: `${url}/metrics`, period: 0.2, timeout: 2 })) },
  rapl: {
    open: async () => {
      const tree = await sysfsTree({ 'class/powercap/intel-rapl:0/name': 'package-0', 'class/powercap/intel-rapl:0/energy_uj': 123_456, 'class/powercap/intel-rapl:0/max_energy_range_uj': 262_143_328_850 });
      return { source: source('rapl', { sysfs: tree.root, period: 0.05 }), vanish: () => tree.set({ 'class/powercap/intel-rapl:0/energy_uj': '' }), stop: () => tree.remove() };
    },
  },
  hwmon: {
    open: async () => {
      const tree = await sysfsTree({ 'class/hwmon/hwmon0/name': 'power_meter', 'class/hwmon/hwmon0/power1_average': 412_000_000, 'class/hwmon/hwmon0/power1_average_interval': 1000 });
      return { source: source('hwmon', { sysfs: tree.root, period: 0.05 }), vanish: () => tree.set({ 'class/hwmon/hwmon0/power1_average': '' }), stop: () => tree.remove() };
    },
  },
  redfish: {
    open: () =>
      device((path) => REDFISH[path], (url) => source('redfish', { url, insecure: true, login: 'basic', username: 'watcher', password: { env: 'BMC' }, period: 1, timeout: 2 }), {
        login: { scheme: 'basic', user: 'watcher', password: PASSWORD },
        environment: { BMC: PASSWORD },
        secrets: [PASSWORD],
      }),
  },
  ipmi: {
    ...(!hasIpmiSim && { skip: 'ipmi_sim, ipmitool or gcc are not installed' }),
    open: async () => {
      const bmc = await startIpmiSim();
      await bmc.dcmi(1364);
      const its = source('ipmi', { host: '127.0.0.1', port: bmc.port, user: OPERATOR.user, password: { env: 'BMC' }, cipher: 3, period: 1 });
      return { source: its, environment: { PATH: process.env['PATH'], BMC: OPERATOR.password }, secrets: [OPERATOR.password], vanish: () => bmc.dcmi(0, { completion: 0xc1 }), stop: () => bmc.stop() };
    },
  },
  'snmp-pdu': {
    ...(SNMPD === undefined && { skip: 'snmpd is not installed' }),
    open: async () => {
      const pdu = await startSnmpd(['1.3.6.1.4.1.21239.5.2.3.1.1.9.1 uinteger 2500', '1.3.6.1.4.1.21239.5.2.3.1.1.12.1 uinteger 77'], '1.3.6.1.4.1.21239');
      const its = source('snmp-pdu', { host: '127.0.0.1', port: pdu.port, version: '3', ...V3_USER, period: 0.1, timeout: 0.3, retries: 0 });
      return { source: its, secrets: [COMMUNITY, V3_USER.authKey, V3_USER.privKey], vanish: () => pdu.stop(), stop: () => pdu.stop() };
    },
  },
  'http-meter': {
    open: () =>
      device(() => ({ 'switch:0': { apower: 412.5, aenergy: { total: 18 } } }), (url) => source('http-meter', { url, profile: 'shelly', password: PASSWORD, period: 0.1, timeout: 1 }), {
        login: { scheme: 'SHA-256', user: 'admin', password: PASSWORD },
        secrets: [PASSWORD],
      }),
  },
  'prometheus-power': {
    open: () => device(() => 'pdu_watts{rack="7"} 2500\n', (url) => source('prometheus-power', { url: `${url}/metrics`, metric: 'pdu_watts', measures: 'watts', deviceLabel: 'rack', token: PASSWORD, period: 0.1, timeout: 1 }), { secrets: [PASSWORD] }),
  },
  'modbus-meter': {
    open: async () => {
      const meter = await startModbus({ input: () => new Map([[52, float32(3377)], [72, float32(2.5)]]) });
      return { source: source('modbus-meter', { host: '127.0.0.1', port: meter.port, profile: 'sdm630', period: 0.1, timeout: 1 }), vanish: () => meter.stop(), stop: () => meter.stop() };
    },
  },
};

describe('the list of live power sources', () => {
  it('has none without a contract', () => {
    const known = new Set([...Object.keys(CASES), ...Object.keys(ELSEWHERE)]);
    expect(livePowerKinds.map(({ name }) => name).filter((name) => !known.has(name))).toEqual([]);
    expect([...known].filter((name) => !livePowerKinds.some((kind) => kind.name === name))).toEqual([]);
    for (const file of Object.values(ELSEWHERE)) expect(existsSync(fileURLToPath(new URL(file, import.meta.url))), file).toBe(true);
  });

  it('looks for each without delay and without throwing', async () => {
    for (const kind of livePowerKinds) {
      const began = performance.now();
      const found = await kind.detect({ PATH: '/nowhere' });
      expect(performance.now() - began, kind.name).toBeLessThan(6000);
      expect(found.found ? 'found' : found.reason, kind.name).not.toBe('');
    }
  });
});

for (const [name, { open, skip }] of Object.entries(CASES)) powerContract(name, open, skip);
