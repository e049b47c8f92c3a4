/** Debian's ipmi_sim as a server's management controller on loopback: a real one to ipmitool, with power that a test sets. */
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';

const installed = (name: string): boolean => ['/usr/bin', '/usr/local/bin'].some((folder) => existsSync(join(folder, name)));
const absent = ['ipmi_sim', 'sdrcomp', 'ipmitool', 'gcc'].filter((name) => !installed(name));
export const hasIpmiSim = absent.length === 0;
export const ifNoIpmiSim = hasIpmiSim ? '' : ` (skipped: ${absent.join(', ')} not installed here; apt install openipmi ipmitool gcc libc6-dev)`;

/** May do everything. */
export const OPERATOR = { user: 'watcher', password: 'sesame-5521' } as const;

export interface IpmiSim {
  readonly port: number;
  /** What DCMI answers from now on. */
  dcmi(watts: number, options?: { readonly active?: boolean; readonly completion?: number }): Promise<void>;
  stop(): Promise<void>;
}

export interface SimulatedSensor {
  /** Lower case too: in capitals only it would be packed into six bits and come back garbled. */
  readonly name: string;
  /** A multiple of the step. */
  readonly watts: number;
  /** Watts of one count: a reading is one byte of them. */
  readonly step: number;
}

export async function startIpmiSim(sensors: readonly SimulatedSensor[] = []): Promise<IpmiSim> {
  const folder = await mkdtemp(join(tmpdir(), 'ipmi-sim-'));
  const file = (name: string): string => join(folder, name);
  const port = await freeUdpPort();
  const values = file('power');
  const dcmi: IpmiSim['dcmi'] = (watts, { active = true, completion = 0 } = {}) => writeFile(values, `${watts} ${active ? 1 : 0} ${completion}\n`);
  await dcmi(1);
  await execa('gcc', ['-shared', '-fPIC', '-O1', '-Wall', '-Werror', '-o', file('dcmi.so'), fileURLToPath(new URL('./ipmi-sim.testing.c', import.meta.url))]);
  const state = file('state/ipmi_sim/power');
  await mkdir(state, { recursive: true });
  await writeFile(file('records'), ['sdr type 18', ...CONTROLLER, 'endsdr', ...sensors.flatMap(record), ''].join('\n'));
  await execa('sdrcomp', ['-o', join(state, 'sdr.20.main'), file('records')]);
  await Promise.all(sensors.map(({ watts }, index) => writeFile(file(`sensor${index}`), `${watts}\n`)));
  await writeFile(file('lan.conf'), lanConfiguration(port, file('dcmi.so'), values));
  await writeFile(file('commands'), ['mc_setbmc 0x20', 'mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr', ...sensors.flatMap((sensor, index) => added(sensor, index, file(`sensor${index}`))), 'mc_enable 0x20', ''].join('\n'));

  const child = spawn('ipmi_sim', ['-c', file('lan.conf'), '-f', file('commands'), '-s', file('state'), '-n'], { stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
    await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  };
  try {
    await Promise.race([answering(port, sensors.length > 0), ended.then(() => Promise.reject(new Error('ipmi_sim ended by itself')))]);
  } catch (error) {
    await stop();
    throw error;
  }
  return { port, dcmi, stop };
}

/** Settings of lanserv (ipmi_lan.conf(5)). */
const lanConfiguration = (port: number, plugin: string, values: string): string => `name "power"
set_working_mc 0x20
startlan 1
  addr 127.0.0.1 ${port}
  priv_limit admin
  allowed_auths_callback none md2 md5 straight
  allowed_auths_user none md2 md5 straight
  allowed_auths_operator none md2 md5 straight
  allowed_auths_admin none md2 md5 straight
  guid 00112233445566778899aabbccddeeff
endlan
user 2 true "${OPERATOR.user}" "${OPERATOR.password}" admin 10 none md2 md5 straight
loadlib "${plugin}" "${values}"
`;

const CONTROLLER = ['device_slave_address 0x20', 'device_channel_number 0', 'chassis true', 'ipmb_event_gen false', 'ipmb_event_recv false', 'fru_inventory true', 'sel true', 'sdr true', 'sensor true', 'entity_id system_board', 'entity_instance 1', 'id_string "simulated"'];

/** An analogue sensor's record, as sdrcomp(8) wants it: its reading in steps, without offset or exponent. */
const record = ({ name, step }: SimulatedSensor, index: number): string[] => {
  const fields = {
    sensor_owner_id: '0x20', sensor_owner_lun: 0, channel_number: 0, sensor_number: index + 1,
    entity_id: 'power_supply', entity_instance: index + 1, sensor_type: 'Power_Supply', event_reading_type_code: 1,
    init_scanning: true, init_sensor_type: true, default_sensor_scan_on: true, percentage: false,
    analog_data_format: 'unsigned', rate_unit: 'none', modifier_unit: 'none', modifier_unit_code: 'unspecified', base_unit: 'Watts', linearization: 'linear',
    m: step, b: 0, r_exp: 0, b_exp: 0, tolerance: 0, accuracy: 1, accuracy_exp: 0, sensor_direction: 'input', sensor_maximum: 255, sensor_minimum: 0,
    id_string: JSON.stringify(name),
  };
  return ['sdr type 1', ...Object.entries(fields).map(([key, value]) => `\t${key} ${value}`), 'endsdr'];
};

const added = ({ step }: SimulatedSensor, index: number, file: string): string[] => [
  `sensor_add 0x20 0 ${index + 1} 0x08 0x01 poll 100 file "${file}" div=${step}`,
  `sensor_set_event_support 0x20 0 ${index + 1} enable scanning per-state ${Array.from({ length: 4 }, () => '000000000000000').join(' ')}`,
];

/** It listens before its sensors have a value. */
async function answering(port: number, hasSensors: boolean): Promise<void> {
  const ask = async (...args: string[]): Promise<string> => {
    const { stdout } = await execa('ipmitool', ['-I', 'lanplus', '-H', '127.0.0.1', '-p', String(port), '-U', OPERATOR.user, '-E', '-C', '3', '-R', '1', '-N', '1', ...args], { env: { IPMI_PASSWORD: OPERATOR.password }, reject: false, timeout: 5000 });
    return stdout;
  };
  const deadline = Date.now() + 15_000;
  while (Date.now() < deadline) {
    const isUp = hasSensors ? /Watts/.test(await ask('sdr', 'list', 'full')) : /Instantaneous/.test(await ask('dcmi', 'power', 'reading'));
    if (isUp) return;
    await sleep(100);
  }
  throw new Error('ipmi_sim did not begin to answer');
}

async function freeUdpPort(): Promise<number> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => {
    socket.bind(0, '127.0.0.1', resolve);
  });
  const { port } = socket.address();
  await new Promise<void>((resolve) => {
    socket.close(() => resolve());
  });
  return port;
}
