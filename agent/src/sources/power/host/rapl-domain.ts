/**
 * RAPL's domains: which of them are booked, and when a counter that fell has wrapped.
 *
 *   package-0 ─┬─ core, uncore        inside the package: never added
 *              └─ dram                beside it: booked as the memory's
 *   psys                              contains packages and memory: a cross-check of the server
 *   intel-rapl-mmio                   the same package a second time: never looked at
 */
import type { Boundary } from '@joulebook/shared/slice.js';
import type { Channel, PowerEvent, Reading } from '../../source.js';
import { RAPL } from '../sensors.js';

export interface RaplDomain {
  readonly device: string;
  readonly boundary: Boundary;
  readonly use?: 'check';
}

const PACKAGE = /^package-(\d+)(?:-die-(\d+))?$/;
/** Written with its package by recorders that want it told apart. */
const DRAM = /^(?:dram|dram-(?<socket>\d+)(?:-die-(?<die>\d+))?|(?<owner>package-\d+(?:-die-\d+)?)[/:]dram)$/;

/**
 * @param name what the zone's `name` says
 * @param owner the name of the package that the zone is inside of
 * @returns undefined for a domain that is part of another, and for an unknown one
 */
export function raplDomain(name: string, owner?: string): RaplDomain | undefined {
  const [, socket, die] = PACKAGE.exec(name) ?? [];
  if (socket !== undefined) return { device: deviceName('cpu', socket, die), boundary: 'cpu' };
  if (name === 'psys') return { device: 'server', boundary: 'server', use: 'check' };
  const dram = DRAM.exec(name);
  if (!dram) return undefined;
  const [, ownerSocket, ownerDie] = PACKAGE.exec(dram.groups?.['owner'] ?? owner ?? '') ?? [];
  return { device: deviceName('dram', dram.groups?.['socket'] ?? ownerSocket ?? '0', dram.groups?.['die'] ?? ownerDie), boundary: 'dram' };
}

/** A package of several dies has a counter for each; they are devices of their own, and add up. */
const deviceName = (what: string, socket: string, die: string | undefined): string => `${what}${socket}${die === undefined ? '' : `-die${die}`}`;

export const isPackage = (name: string): boolean => PACKAGE.test(name);
/** Domains that are known and never added. */
export const isPart = (name: string): boolean => /^(?:core|uncore)(?:-\d+)?$|mmio/.test(name);

export function raplChannel({ device, boundary, use }: RaplDomain): Channel {
  const what = boundary === 'cpu' ? 'package' : boundary === 'dram' ? 'dram' : 'psys';
  return { id: `rapl/${device}/${what}`, device, boundary, source: 'rapl', measures: 'counter', sensor: RAPL, ...(use && { use }) };
}

/** More than a socket and its memory draw: a counter that would have had to wrap at this power was set to 0 instead. */
export const MOST_SOCKET_WATTS = 1000;
const SLACK = 4;

/**
 * A counter that fell has wrapped or, after a suspension or a reload of the driver, begun anew. A wrap that would need
 * an impossible power is a beginning, and is said to be a break.
 */
export function wrapGuard(): (reading: Reading) => PowerEvent[] {
  const last = new Map<string, Reading>();
  return (reading) => {
    const before = last.get(reading.channel.id);
    last.set(reading.channel.id, reading);
    if (before?.measures !== 'counter' || reading.measures !== 'counter' || reading.wrapsAt === undefined) return [reading];
    const drawn = reading.total - before.total;
    if (drawn >= 0n || Number(drawn + reading.wrapsAt) / 1e6 <= SLACK * MOST_SOCKET_WATTS * (reading.at - before.at)) return [reading];
    const { channel, at } = reading;
    return [
      { kind: 'break', channels: [channel], at, reason: `${channel.id}: the counter began anew` },
      { kind: 'flagged', code: 'COUNTER_RESET', detail: `${channel.id}: the energy counter fell by more than a wrap explains; what was drawn in between is missing coverage`, count: 1, device: channel.device },
      reading,
    ];
  };
}
