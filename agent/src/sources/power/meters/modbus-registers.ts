/**
 * Where meters keep power and energy in Modbus, and how numbers lie in registers of 16 bits. Addresses are those on the
 * wire, from 0; many manuals number registers from 1.
 */
import { isFault, type Read } from '../../cells.js';
import { MICROJOULES, microjoulesOf, WATTS, type EnergyUnit } from './meter.js';

export const REGISTER_TYPES = ['int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64', 'float32', 'float64'] as const;
export type RegisterType = (typeof REGISTER_TYPES)[number];

export interface Register {
  /** 3 reads holding registers, 4 input registers. */
  readonly function: 3 | 4;
  readonly address: number;
  readonly type: RegisterType;
  /** `little`: the register of the lowest bits comes first. Within a register Modbus is big-endian. */
  readonly wordOrder: 'big' | 'little';
  readonly scale: number;
}
export interface PowerRegister extends Register {
  readonly unit: keyof typeof WATTS;
}
export interface EnergyRegister extends Register {
  readonly unit: EnergyUnit;
}
export interface ModbusProfile {
  readonly watts: PowerRegister;
  readonly energy?: EnergyRegister | undefined;
}

const float = (code: 3 | 4, address: number): Register => ({ function: code, address, type: 'float32', wordOrder: 'big', scale: 1 });

export const MODBUS_PROFILES = {
  /** Eastron SDM630 protocol document: total system power 0x34, total import 0x48. */
  sdm630: { watts: { ...float(4, 52), unit: 'watts' }, energy: { ...float(4, 72), unit: 'kilowattHours' } },
  /** Eastron SDM120: active power 0x0C, import 0x48. */
  sdm120: { watts: { ...float(4, 12), unit: 'watts' }, energy: { ...float(4, 72), unit: 'kilowattHours' } },
  /** Schneider iEM3155 (DOCA0005EN): registers 3060 and 3204 of its manual, which numbers from 1. */
  iem3155: { watts: { ...float(3, 3059), unit: 'kilowatts' }, energy: { ...float(3, 3203), type: 'int64', unit: 'wattHours' } },
} as const satisfies Readonly<Record<string, ModbusProfile>>;
export const MODBUS_PROFILE_NAMES = ['sdm630', 'sdm120', 'iem3155'] as const satisfies readonly (keyof typeof MODBUS_PROFILES)[];

const BITS: Readonly<Record<RegisterType, 16 | 32 | 64>> = { int16: 16, uint16: 16, int32: 32, uint32: 32, int64: 64, uint64: 64, float32: 32, float64: 64 };
export const registersOf = ({ type }: Register): number => BITS[type] / 16;

/**
 * @param bytes as they came: `registersOf` × 2
 * @returns undefined for what meters write where they measure nothing: NaN, the lowest signed or the highest unsigned number
 */
export function decode({ type, wordOrder }: Register, bytes: Buffer): Read<number | bigint> {
  if (bytes.length !== BITS[type] / 8) return { fault: `is ${bytes.length} bytes and no ${type}` };
  // Turned round as bytes, then each register turned back: the words are turned round.
  const ordered = wordOrder === 'big' ? bytes : Buffer.from(bytes.toReversed()).swap16();
  if (type === 'float32' || type === 'float64') {
    const value = type === 'float32' ? ordered.readFloatBE() : ordered.readDoubleBE();
    if (Number.isNaN(value)) return undefined;
    return Number.isFinite(value) ? (type === 'float32' ? meant(value) : value) : { fault: 'is infinite; check type and word order' };
  }
  const bits = BITS[type];
  const raw = BigInt(`0x${ordered.toString('hex')}`);
  const isSigned = type.startsWith('int');
  if (raw === (isSigned ? 1n << BigInt(bits - 1) : (1n << BigInt(bits)) - 1n)) return undefined;
  const value = isSigned ? BigInt.asIntN(bits, raw) : raw;
  return bits === 64 ? value : Number(value);
}

/** A float32 of 41.7 is 41.70000076293945 as a double; the shortest number of the same float is what was meant. */
function meant(value: number): number {
  for (let digits = 6; digits < 9; digits += 1) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}

/** Keeps a product of decimals from showing how doubles are made. */
const DIGITS = 12;

export function wattsFrom(register: PowerRegister, bytes: Buffer): Read<number> {
  const value = decode(register, bytes);
  return value === undefined || isFault(value) ? value : Number((Number(value) * register.scale * WATTS[register.unit]).toPrecision(DIGITS));
}

/** float32 of 81 MWh moves in steps of 28 kJ, int64 of watt-hours in steps of 3.6 kJ. */
export function microjoulesFrom(register: EnergyRegister, bytes: Buffer): bigint | undefined {
  const value = decode(register, bytes);
  if (value === undefined || isFault(value)) return undefined;
  return typeof value === 'bigint' && register.scale === 1 ? microjoulesOf(value, MICROJOULES[register.unit]) : microjoulesOf(Number(value) * register.scale, MICROJOULES[register.unit]);
}
