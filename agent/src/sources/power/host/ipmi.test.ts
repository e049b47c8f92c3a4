import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seconds } from '@joulebook/shared/units.js';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { PowerEvent } from '../../source.js';
import { hasIpmiSim, ifNoIpmiSim, OPERATOR, startIpmiSim, type IpmiSim } from './ipmi-sim.testing.js';
import { ipmi, liveIpmi, probeIpmi, type IpmiOptions } from './ipmi.js';
import { codesOf, readingsOf, valuesOf, watch } from '../live.testing.js';

/** One that has ended and that no one has asked about yet (Z) is not. */
const isAlive = async (pid: number): Promise<boolean> => /^State:\s+[^ZX]/m.test(await readFile(`/proc/${pid}/status`, 'utf8').catch(() => ''));
const few = (count: number) => (events: readonly PowerEvent[]) => readingsOf(events).length >= count;

describe.skipIf(!hasIpmiSim)(`ipmitool over lanplus to a simulated controller${ifNoIpmiSim}`, () => {
  let sim: IpmiSim;
  beforeAll(async () => {
    sim = await startIpmiSim([
      { name: 'PSU1 Input Power', watts: 704, step: 8 },
      { name: 'PSU2 Input Power', watts: 688, step: 8 },
      { name: 'PSU2 Input Power', watts: 16, step: 8 },
    ]);
  }, 30_000);
  afterAll(() => sim.stop());
  beforeEach(() => sim.dcmi(1364));

  const remote = (options: IpmiOptions = {}) => ipmi({ host: '127.0.0.1', port: sim.port, user: OPERATOR.user, password: OPERATOR.password, cipher: 3, period: seconds(0.1), ...options });

  it("reads the server's power as it is now", async () => {
    const { events } = await watch(remote(), async (soFar) => {
      if (valuesOf(soFar).length === 2) await sim.dcmi(65_000);
      return valuesOf(soFar).includes(65_000);
    });
    expect(valuesOf(events).slice(0, 2)).toEqual([1364, 1364]);
    expect(readingsOf(events)[0]?.channel).toMatchObject({ id: 'ipmi/server/dcmi', device: 'server', boundary: 'server', source: 'ipmi', measures: 'power', sensor: { averagedOver: 1 } });
    expect(Math.abs((readingsOf(events)[0]?.at ?? 0) - Date.now() / 1000)).toBeLessThan(30);
  });

  it('believes a value that the controller calls deactivated, and not 0 W that it calls activated', async () => {
    await sim.dcmi(0);
    const { events } = await watch(remote(), async (soFar) => {
      if (codesOf(soFar).length === 1) await sim.dcmi(319, { active: false });
      return few(1)(soFar);
    });
    expect(valuesOf(events)).toEqual([319]);
    expect(codesOf(events)[0]).toBe('MISSING_READINGS');
  });

  it('adds up the sensors that are named, two of one name too', async () => {
    const { events } = await watch(remote({ sdr: ['PSU1 Input Power', 'PSU2 Input Power'], device: 'rack4-node2' }), few(1));
    expect(valuesOf(events)).toEqual([1408]);
    expect(readingsOf(events)[0]?.channel).toMatchObject({ id: 'ipmi/rack4-node2/sdr', device: 'rack4-node2' });
  });

  it('says which sensor there is not, and claims no sum of the others', async () => {
    const { events } = await watch(remote({ sdr: ['PSU1 Input Power', 'PSU3 Input Power'] }), (soFar) => codesOf(soFar).length > 0);
    expect(events).toMatchObject([{ kind: 'flagged', code: 'MISSING_READINGS', detail: "ipmi/server/sdr: says no power: no sensor is called 'PSU3 Input Power'" }]);
  });

  it.each([
    [0xc1, /^IPMI_NO_DCMI \(disable\): The controller of 127\.0\.0\.1 has no DCMI power reading: .*sdr/],
    [0xcb, /^IPMI_NO_DCMI \(disable\)/],
    [0xd4, /^IPMI_PRIVILEGE \(disable\): .*operator/],
  ])('ends on completion code %i with what to do', async (completion, sentence) => {
    await sim.dcmi(0, { completion });
    expect((await watch(remote(), () => false)).ended).toMatch(sentence);
  });

  it('tries again when the controller is busy, and says both', async () => {
    await sim.dcmi(0, { completion: 0xc0 });
    const { events, logged } = await watch(remote(), async (soFar) => {
      if (codesOf(soFar).length === 1) await sim.dcmi(500);
      return few(1)(soFar);
    });
    expect(codesOf(events)).toEqual(['IPMI_FAILED']);
    expect(logged.join('\n')).toMatch(/Node busy \(c0\)[\s\S]*ipmi: reads again/);
  });

  it('keeps a wrong password to itself and tries again: it cannot be told from a dead controller', async () => {
    const password = 'not-the-password';
    const { events, logged, ended } = await watch(remote({ password }), (soFar) => codesOf(soFar).length > 0);
    expect(codesOf(events)).toEqual(['IPMI_SESSION']);
    expect(ended).toBeUndefined();
    expect(JSON.stringify([events, logged])).not.toContain(password);
  });

  it('finds the password in the environment, under its usual name or a named one', async () => {
    const environment = { PATH: process.env['PATH'], IPMI_PASSWORD: OPERATOR.password };
    expect(valuesOf((await watch(remote({ password: undefined }), few(1), environment)).events)).toEqual([1364]);
    const own = { PATH: process.env['PATH'], BMC_PASSWORD: OPERATOR.password };
    expect(valuesOf((await watch(remote({ password: { env: 'BMC_PASSWORD' } }), few(1), own)).events)).toEqual([1364]);
    expect((await watch(remote({ password: { env: 'BMC_PASSWORD' } }), few(1))).ended).toMatch(/^SECRET_MISSING \(disable\)/);
  });
});

describe('running ipmitool', () => {
  let folder: string;
  let command: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ipmitool-'));
    command = join(folder, 'ipmitool');
  });
  afterEach(() => rm(folder, { recursive: true }));
  const script = async (text: string): Promise<void> => {
    await writeFile(command, `#!/bin/sh\n${text}\n`);
    await chmod(command, 0o755);
  };

  it('gives the password by the environment and never among the arguments', async () => {
    await script(`echo "$*" > ${folder}/arguments; echo "$IPMI_PASSWORD" > ${folder}/password; echo "  Instantaneous power reading:  100 Watts"`);
    await watch(ipmi({ command, host: 'bmc.example', user: 'watcher', password: 'sesame-5521', cipher: 17, period: seconds(0.05) }), few(1));
    expect(await readFile(join(folder, 'arguments'), 'utf8')).toBe('-I lanplus -H bmc.example -R 1 -N 2 -E -U watcher -C 17 dcmi power reading\n');
    expect(await readFile(join(folder, 'password'), 'utf8')).toBe('sesame-5521\n');
  });

  it('kills a run that takes too long together with what it started', async () => {
    await script(`sleep 60 & echo $! > ${folder}/child; echo $$ > ${folder}/self; wait`);
    const { events } = await watch(ipmi({ command, period: seconds(0.05), limit: seconds(0.5) }), (soFar) => codesOf(soFar).length > 0);
    expect(codesOf(events)).toEqual(['IPMI_TIMEOUT']);
    for (const name of ['child', 'self']) {
      const pid = Number(await readFile(join(folder, name), 'utf8'));
      await expect.poll(() => isAlive(pid)).toBe(false);
    }
  });

  it('does not repeat a password that ipmitool prints', async () => {
    await script('echo "strange: $IPMI_PASSWORD" >&2; exit 1');
    const { events, logged } = await watch(ipmi({ command, host: 'bmc', user: 'u', password: 'sesame-5521', period: seconds(0.05) }), (soFar) => codesOf(soFar).length > 0);
    expect(codesOf(events)).toEqual(['IPMI_FAILED']);
    expect(JSON.stringify([events, logged])).toContain('strange: …');
    expect(JSON.stringify([events, logged])).not.toContain('sesame');
  });

  it('is disabled where the program or the device is not there', async () => {
    expect((await watch(ipmi({ command: join(folder, 'none'), period: seconds(0.05) }), () => false)).ended).toMatch(/^IPMITOOL_MISSING \(disable\)/);
    await script('echo "Could not open device at /dev/ipmi0 or /dev/ipmi/0 or /dev/ipmidev/0: No such file or directory" >&2; exit 1');
    expect((await watch(ipmi({ command, period: seconds(0.05) }), () => false)).ended).toMatch(/^IPMI_NO_DEVICE \(disable\): .*ipmi_devintf/);
  });

  it('is found where there is a device and a power, and says else why not', async () => {
    const environment = { PATH: process.env['PATH'] };
    const device = join(folder, 'ipmi0');
    expect(await probeIpmi(environment, command, [device])).toEqual({ found: false, reason: `there is no ${device}` });
    await writeFile(device, '');
    expect(JSON.stringify(await probeIpmi(environment, command, [device]))).toMatch(/"found":false,.*install ipmitool/);
    await script('echo "  Instantaneous power reading:  0 Watts"');
    expect(await probeIpmi(environment, command, [device])).toEqual({ found: false, reason: 'the controller says no power: 0 W' });
    await script('echo "  Instantaneous power reading:  100 Watts"');
    expect(await probeIpmi(environment, command, [device])).toEqual({ found: true, options: {} });
  });

  it('takes its options by name, and says what belongs to a remote controller only', () => {
    expect(liveIpmi.open({})).toMatchObject({ period: 10, description: 'ipmitool every 10 s' });
    expect(liveIpmi.open({ host: 'bmc', user: 'u', password: { env: 'P' }, cipher: 17 })).toMatchObject({ description: 'ipmitool of bmc every 10 s' });
    expect(() => liveIpmi.open({ user: 'u' })).toThrow(/for a remote controller: name it in host/);
    expect(() => liveIpmi.open({ host: 'bmc', cipher: 9 })).toThrow(/cipher/);
  });
});
