/**
 * libnvidia-ml.so.1 through koffi: NVML's functions as functions that answer a value or a code. Layouts are those of nvml.h
 * on 64-bit Linux and Windows, checked against a C compiler's:
 *
 *     nvmlFieldValue_t    40 B   fieldId u32@0 scopeId u32@4 timestamp i64@8 latencyUsec i64@16 valueType u32@24
 *                                nvmlReturn i32@28 value@32
 *     nvmlProcessInfo_t   24 B   pid u32@0 usedGpuMemory u64@8 gpuInstanceId u32@16 computeInstanceId u32@20
 *     nvmlMemory_t        24 B   total u64@0 free u64@8 used u64@16          nvmlUtilization_t 8 B   gpu u32@0 memory u32@4
 *
 * Every call may block in the driver for as long as it likes: none of this belongs on the main thread.
 */
import { join } from 'node:path';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import type { LibraryHandle } from 'koffi';
import { NVML_FUNCTION_NOT_FOUND, NVML_INSUFFICIENT_SIZE, NVML_NOT_FOUND, NVML_SUCCESS } from './nvml-return.js';

export type Answer<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly code: number };
/** A pointer as koffi gives it. */
export type NvmlHandle = bigint;

/** scope 0: GPU, 1: module, 2: memory. */
export interface NvmlField {
  readonly id: number;
  readonly scope: number;
}

export interface NvmlProcess {
  readonly pid: number;
  /** Absent where the driver can't tell (WDDM). */
  readonly memoryBytes?: number;
  readonly migInstance?: number;
}

export interface Nvml {
  /** The file or name that was loaded. */
  readonly path: string;
  init(): number;
  shutdown(): void;
  count(): Answer<number>;
  handle(index: number): Answer<NvmlHandle>;
  /** `GPU-…` */
  uuid(handle: NvmlHandle): Answer<string>;
  name(handle: NvmlHandle): Answer<string>;
  /** Equal for the boards of one module. */
  serial(handle: NvmlHandle): Answer<string>;
  architecture(handle: NvmlHandle): Answer<number>;
  /** One call for many values; each may fail on its own. mW, mJ or ns by field. */
  fields(handle: NvmlHandle, asked: readonly NvmlField[]): Answer<readonly Answer<number>[]>;
  /** mW: what nvidia-smi calls power.draw. */
  power(handle: NvmlHandle): Answer<number>;
  /** mJ since the driver was loaded. */
  energy(handle: NvmlHandle): Answer<bigint>;
  /** °C */
  temperature(handle: NvmlHandle): Answer<number>;
  /** MHz */
  smClock(handle: NvmlHandle): Answer<number>;
  /** MHz */
  maxSmClock(handle: NvmlHandle): Answer<number>;
  /** Percent of time with a kernel running. */
  utilization(handle: NvmlHandle): Answer<number>;
  /** Bytes. */
  memoryUsed(handle: NvmlHandle): Answer<number>;
  /** nvmlClocksThrottleReason… */
  throttleReasons(handle: NvmlHandle): Answer<number>;
  processes(handle: NvmlHandle): Answer<readonly NvmlProcess[]>;
}

const NAME = 'libnvidia-ml.so.1';

/** By name where the loader finds it; else WSL, the GPU operator's driver container, GKE's driver folder. */
function candidates(): string[] {
  if (process.platform === 'win32') return ['nvml.dll', join(process.env['SystemRoot'] ?? 'C:\\Windows', 'System32', 'nvml.dll')];
  const triple = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu';
  return [NAME, `/usr/lib/wsl/lib/${NAME}`, `/run/nvidia/driver/usr/lib/${triple}/${NAME}`, `/usr/local/nvidia/lib64/${NAME}`];
}

export interface NvmlLoading {
  /** The only file to try. */
  readonly library?: string | undefined;
  /** How koffi is got: it is optional, and not built for every platform. */
  readonly koffi?: () => Promise<{ load(path: string): LibraryHandle }>;
}

/** @throws TelemetryError `disable` when koffi or the library is not here */
export async function loadNvml({ library, koffi = () => import('koffi') }: NvmlLoading): Promise<Nvml> {
  const ffi = await koffi().catch((cause: unknown) => {
    throw new TelemetryError('NVML_KOFFI_MISSING', `NVML is read through the package koffi, which is not here for ${process.platform}-${process.arch}: install it, or use the source nvidia-smi.`, 'disable', { cause });
  });
  const refusals: string[] = [];
  for (const path of library === undefined ? candidates() : [library]) {
    try {
      return bind(ffi.load(path), path);
    } catch (error) {
      refusals.push(`${path}: ${messageOf(error)}`);
    }
  }
  const why = library === undefined ? 'it is not where drivers put it' : refusals.join('; ');
  throw new TelemetryError('NVML_MISSING', `NVML (${library ?? NAME}) can't be loaded: ${why}. Install the NVIDIA driver, pass it to this container, or name the file in the option 'library'.`, 'disable');
}

type Call = (...parameters: readonly unknown[]) => number;

const NO_GPUS_IS_NO_ERROR = 1;
/** NVML_CLOCK_SM */
const SM_CLOCK = 1;
const MOST_TEXT = 96;
const FIELD_BYTES = 40;
const PROCESS_BYTES = 24;
const NO_INSTANCE = 0xffffffff;
const NO_MEMORY = 0xffff_ffff_ffff_ffffn;

function bind(library: LibraryHandle, path: string): Nvml {
  /** A function that an old driver lacks answers as NVML would: FUNCTION_NOT_FOUND. */
  const declare = (name: string, ...parameters: readonly string[]): Call => {
    try {
      return library.func(`int ${name}(${parameters.join(', ')})`);
    } catch {
      return () => NVML_FUNCTION_NOT_FOUND;
    }
  };
  const device = 'void *device';
  const outWord = '_Out_ uint32 *out';
  const outLong = '_Out_ uint64 *out';
  const outBytes = '_Out_ uint8 *out';
  const init = declare('nvmlInitWithFlags', 'uint32 flags');
  const initOld = declare('nvmlInit_v2');
  const shutdown = declare('nvmlShutdown');
  const count = declare('nvmlDeviceGetCount_v2', outWord);
  const byIndex = declare('nvmlDeviceGetHandleByIndex_v2', 'uint32 index', '_Out_ void **out');
  const uuid = declare('nvmlDeviceGetUUID', device, outBytes, 'uint32 length');
  const name = declare('nvmlDeviceGetName', device, outBytes, 'uint32 length');
  const serial = declare('nvmlDeviceGetSerial', device, outBytes, 'uint32 length');
  const architecture = declare('nvmlDeviceGetArchitecture', device, outWord);
  const power = declare('nvmlDeviceGetPowerUsage', device, outWord);
  const energy = declare('nvmlDeviceGetTotalEnergyConsumption', device, outLong);
  const temperature = declare('nvmlDeviceGetTemperature', device, 'int sensor', outWord);
  const clock = declare('nvmlDeviceGetClockInfo', device, 'int type', outWord);
  const maxClock = declare('nvmlDeviceGetMaxClockInfo', device, 'int type', outWord);
  const utilization = declare('nvmlDeviceGetUtilizationRates', device, outWord);
  const memory = declare('nvmlDeviceGetMemoryInfo', device, outLong);
  const reasons = declare('nvmlDeviceGetCurrentClocksThrottleReasons', device, outLong);
  const fieldValues = declare('nvmlDeviceGetFieldValues', device, 'int count', '_Inout_ uint8 *values');
  const running = declare('nvmlDeviceGetComputeRunningProcesses_v3', device, '_Inout_ uint32 *count', outBytes);

  // One thread, one call at a time: the places for what comes out are reused.
  const word = new Uint32Array(2);
  const long = new BigUint64Array(3);
  let values = Buffer.alloc(FIELD_BYTES);
  const wordFrom = (code: number): Answer<number> => (code === NVML_SUCCESS ? { ok: true, value: word[0] ?? 0 } : { ok: false, code });
  const longFrom = (code: number, place = 0): Answer<bigint> => (code === NVML_SUCCESS ? { ok: true, value: long[place] ?? 0n } : { ok: false, code });

  return {
    path,
    init() {
      const code = init(NO_GPUS_IS_NO_ERROR);
      return code === NVML_FUNCTION_NOT_FOUND ? initOld() : code;
    },
    shutdown: () => void shutdown(),
    count: () => wordFrom(count(word)),
    handle(index) {
      const out: (bigint | null)[] = [null];
      const code = byIndex(index, out);
      if (code !== NVML_SUCCESS) return { ok: false, code };
      return typeof out[0] === 'bigint' ? { ok: true, value: out[0] } : { ok: false, code: NVML_NOT_FOUND };
    },
    uuid: (handle) => text(uuid, handle),
    name: (handle) => text(name, handle),
    serial: (handle) => text(serial, handle),
    architecture: (handle) => wordFrom(architecture(handle, word)),
    power: (handle) => wordFrom(power(handle, word)),
    energy: (handle) => longFrom(energy(handle, long)),
    temperature: (handle) => wordFrom(temperature(handle, 0, word)),
    smClock: (handle) => wordFrom(clock(handle, SM_CLOCK, word)),
    maxSmClock: (handle) => wordFrom(maxClock(handle, SM_CLOCK, word)),
    utilization: (handle) => wordFrom(utilization(handle, word)),
    memoryUsed: (handle) => asNumber(longFrom(memory(handle, long), 2)),
    throttleReasons: (handle) => asNumber(longFrom(reasons(handle, long))),
    fields(handle, asked) {
      const bytes = asked.length * FIELD_BYTES > values.length ? (values = Buffer.alloc(FIELD_BYTES * asked.length)) : values.fill(0);
      for (const [place, { id, scope }] of asked.entries()) {
        bytes.writeUInt32LE(id, FIELD_BYTES * place);
        bytes.writeUInt32LE(scope, FIELD_BYTES * place + 4);
      }
      const code = fieldValues(handle, asked.length, bytes);
      return code === NVML_SUCCESS ? { ok: true, value: asked.map((_, place) => fieldValue(bytes, FIELD_BYTES * place)) } : { ok: false, code };
    },
    processes(handle) {
      for (let room = 32; ; room *= 2) {
        word[0] = room;
        const bytes = Buffer.alloc(PROCESS_BYTES * room);
        const code = running(handle, word, bytes);
        if (code === NVML_SUCCESS) return { ok: true, value: Array.from({ length: Math.min(room, word[0]) }, (_, place) => processInfo(bytes, PROCESS_BYTES * place)) };
        if (code !== NVML_INSUFFICIENT_SIZE || room > 4096) return { ok: false, code };
      }
    },
  };
}

const asNumber = (answer: Answer<bigint>): Answer<number> => (answer.ok ? { ok: true, value: Number(answer.value) } : answer);

function text(call: Call, handle: NvmlHandle): Answer<string> {
  const bytes = Buffer.alloc(MOST_TEXT);
  const code = call(handle, bytes, MOST_TEXT);
  return code === NVML_SUCCESS ? { ok: true, value: bytes.toString('latin1', 0, bytes.indexOf(0)) } : { ok: false, code };
}

function fieldValue(bytes: Buffer, at: number): Answer<number> {
  const code = bytes.readInt32LE(at + 28);
  if (code !== NVML_SUCCESS) return { ok: false, code };
  const value = at + 32;
  switch (bytes.readUInt32LE(at + 24)) {
    case 0:
      return { ok: true, value: bytes.readDoubleLE(value) };
    case 1:
      return { ok: true, value: bytes.readUInt32LE(value) };
    case 2:
    case 3:
      return { ok: true, value: Number(bytes.readBigUInt64LE(value)) };
    case 4:
      return { ok: true, value: Number(bytes.readBigInt64LE(value)) };
    case 5:
      return { ok: true, value: bytes.readInt32LE(value) };
    case 6:
      return { ok: true, value: bytes.readUInt16LE(value) };
    default:
      return { ok: false, code: 25 };
  }
}

function processInfo(bytes: Buffer, at: number): NvmlProcess {
  const memory = bytes.readBigUInt64LE(at + 8);
  const instance = bytes.readUInt32LE(at + 16);
  return { pid: bytes.readUInt32LE(at), ...(memory !== NO_MEMORY && { memoryBytes: Number(memory) }), ...(instance !== NO_INSTANCE && { migInstance: instance }) };
}
