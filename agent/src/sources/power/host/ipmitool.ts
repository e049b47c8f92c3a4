/** One run of ipmitool, its password in the environment and never among the arguments; its failures as codes and sentences. */
import { TelemetryError } from '@joulebook/shared/errors.js';
import { runProgram, type Run } from '../../program.js';
import { reveal, type Secret } from '../secret.js';

export interface IpmiTarget {
  readonly command: string;
  /** Absent: this machine's own controller through /dev/ipmi0. */
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly user?: string | undefined;
  /** Absent: IPMI_PASSWORD of the environment, which is ipmitool's own way. */
  readonly password?: Secret | undefined;
  /** Number of the cipher suite, 3 or 17. */
  readonly cipher?: number | undefined;
}

/**
 * @returns what it printed
 * @throws TelemetryError SECRET_MISSING, IPMITOOL_MISSING, IPMI_NO_DEVICE, IPMI_NO_DCMI, IPMI_PRIVILEGE: `disable`; IPMI_SESSION, IPMI_TIMEOUT, IPMI_FAILED: `retry`
 */
export async function ipmitool(target: IpmiTarget, args: readonly string[], run: Run): Promise<string> {
  const password = target.password === undefined ? run.environment['IPMI_PASSWORD'] : reveal(target.password, run.environment, 'password');
  const environment = { ...run.environment, ...(password !== undefined && { IPMI_PASSWORD: password }) };
  const ran = await runProgram(target.command, [...connection(target), ...args], { ...run, environment });
  if (ran.kind === 'late') throw new TelemetryError('IPMI_TIMEOUT', `ipmitool did not answer within ${ran.limit} s: the controller is busy or out of reach.`, 'retry');
  if (ran.kind === 'absent') throw new TelemetryError('IPMITOOL_MISSING', `'${target.command}' can't be run: install ipmitool or name the program in the option 'command'.`, 'disable');
  if (ran.exitCode !== 0) throw failure(`${ran.stderr}\n${ran.stdout}`, target, ran.exitCode, password);
  return ran.stdout;
}

function connection({ host, port, user, cipher }: IpmiTarget): string[] {
  if (host === undefined) return [];
  // One try of two seconds: the schedule is what tries again.
  const args = ['-I', 'lanplus', '-H', host, '-R', '1', '-N', '2', '-E'];
  if (port !== undefined) args.push('-p', String(port));
  if (user !== undefined) args.push('-U', user);
  // Without it ipmitool asks for the suites first, which some controllers do not answer: a second or more each time.
  if (cipher !== undefined) args.push('-C', String(cipher));
  return args;
}

const LONGEST_WORDS = 200;
/** Said by healthy controllers too. */
const HARMLESS = /^(?:Unable to Get Channel Cipher Suites|Running Get .*|\s*)$/;

/** What ipmitool 1.8.18 and 1.8.19 print, and what to do about it. */
function failure(said: string, { host }: IpmiTarget, exitCode: number, password: string | undefined): TelemetryError {
  const where = host ?? 'this machine';
  if (/Could not open device at/.test(said)) {
    return new TelemetryError('IPMI_NO_DEVICE', 'There is no /dev/ipmi0 that this user may open: load the modules ipmi_si and ipmi_devintf and run as root, or name the controller in the option host.', 'disable');
  }
  if (/\(c1\)|\(cb\)|Invalid command/.test(said)) {
    return new TelemetryError('IPMI_NO_DCMI', `The controller of ${where} has no DCMI power reading: name its sensors of input power in the option sdr (see ipmitool sdr list full), or use redfish.`, 'disable');
  }
  if (/\(d4\)|[Ii]nsufficient privilege/.test(said)) {
    return new TelemetryError('IPMI_PRIVILEGE', `The user of ${where}'s controller may not read power: give it the privilege level operator.`, 'disable');
  }
  if (/Unable to establish|RAKP|session/i.test(said)) {
    return new TelemetryError('IPMI_SESSION', `No session with the controller ${where}: it does not answer there, or refuses the user, the password or the cipher suite (try cipher: 17 or 3).`, 'retry');
  }
  const words = said.split('\n').find((line) => !HARMLESS.test(line)) ?? '';
  const safe = password === undefined || password === '' ? words : words.replaceAll(password, '…');
  return new TelemetryError('IPMI_FAILED', `ipmitool ended with exit code ${exitCode}: ${safe.trim().slice(0, LONGEST_WORDS)}`, 'retry');
}
