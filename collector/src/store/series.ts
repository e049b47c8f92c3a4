/** Which physical thing a fact measures: a series is one device at one boundary, and every moment of it is booked once. */
import type { EnergySlice } from '@joulebook/shared/slice.js';

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/i;
/** Intel's GPUs make theirs of the PCI place and the vendor's number, equal on two hosts of one model; one of zeros was blacked out. */
const UUID_OF_NOTHING = /8086\b|0{8}-0{4}-0{4}-0{4}-0{12}/;
const PCI_ADDRESS = /\b[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]\b/i;
const SERIAL_LENGTH = 7;
const SERIAL_DIGITS = 4;

/** Runs without a start are laid out from 1970 on; no sensor was read then. */
export const UNTIMED_BEFORE_MICROS = Date.UTC(1971, 0) * 1000;

/** Long and full of digits, e.g. `1654922006536` or `ZA1823009876`, but not `outlet12` and not `00000000`. */
const looksLikeSerial = (word: string): boolean => word.length >= SERIAL_LENGTH && (word.match(/\d/g)?.length ?? 0) >= SERIAL_DIGITS && /[1-9]/.test(word);

/**
 * True for a UUID or a serial: the same name on two nodes is the same thing. Every host has a `cpu0` and a `server`, and
 * a PCI address says only where on its host a device sits: on two nodes those are two things.
 */
export function isWorldUnique(device: string): boolean {
  if (UUID.test(device)) return !UUID_OF_NOTHING.test(device);
  return !PCI_ADDRESS.test(device) && device.split(/[^0-9a-z]+/i).some(looksLikeSerial);
}

/** Sorted, so that equal sets are equal. */
export const canonicalNodes = (contains: readonly string[]): string[] => [...new Set(contains)].toSorted();

/**
 * Equal text for equal series. A device whose name says nothing beyond its host is told by the nodes that it reads for:
 * two agents that ask one PDU agree on those. Where the time of a fact was made up, tables of runs from other files are
 * other measurements.
 */
export function seriesOf(node: string, { device, boundary, from, source, contains }: Pick<EnergySlice, 'device' | 'boundary' | 'from' | 'source' | 'contains'>): string {
  return JSON.stringify([boundary, device, isWorldUnique(device) ? null : canonicalNodes(contains ?? [node]), from < UNTIMED_BEFORE_MICROS ? source : null]);
}
