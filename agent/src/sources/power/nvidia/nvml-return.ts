/**
 * NVML's return codes (nvmlReturn_t of nvml.h) and what each means for who asked:
 *
 *     never     this board does not have it: not asked again
 *     lost      the board fell off the bus or must be reset: asked again once a minute
 *     restart   the library must be initialised anew
 *     unknown   restart when it comes three times in a row
 *     passing   no value now
 */
import { TelemetryError } from '@joulebook/shared/errors.js';

export const NVML_SUCCESS = 0;
export const NVML_NOT_FOUND = 6;
export const NVML_INSUFFICIENT_SIZE = 7;
export const NVML_FUNCTION_NOT_FOUND = 13;

export type Standing = 'never' | 'lost' | 'restart' | 'unknown' | 'passing';

interface Meaning {
  readonly standing: Standing;
  readonly words: string;
  /** The fault of an initialisation that ends this way. */
  readonly fault?: { readonly code: string; readonly remedy: 'retry' | 'disable'; readonly advice: string };
}

const MEANINGS: Readonly<Record<number, Meaning>> = {
  1: { standing: 'restart', words: 'not initialised' },
  2: { standing: 'never', words: 'invalid argument' },
  3: { standing: 'never', words: 'not supported' },
  4: { standing: 'never', words: 'insufficient permissions', fault: { code: 'NVML_NO_PERMISSION', remedy: 'disable', advice: 'let the agent read /dev/nvidia* (the group of those files), or run it as root' } },
  6: { standing: 'passing', words: 'not found' },
  8: { standing: 'lost', words: 'insufficient external power' },
  9: { standing: 'restart', words: 'driver not loaded', fault: { code: 'NVML_NO_DRIVER', remedy: 'disable', advice: 'load the NVIDIA kernel driver (nvidia-smi must work), or remove the source nvml' } },
  10: { standing: 'passing', words: 'timeout' },
  11: { standing: 'passing', words: 'interrupt trouble' },
  12: { standing: 'restart', words: 'library not found', fault: { code: 'NVML_MISSING', remedy: 'disable', advice: 'install the NVIDIA driver\'s libraries' } },
  13: { standing: 'never', words: 'function not found', fault: { code: 'NVML_TOO_OLD', remedy: 'disable', advice: 'use a driver of branch 450 or newer' } },
  14: { standing: 'passing', words: 'corrupted infoROM' },
  15: { standing: 'lost', words: 'GPU is lost' },
  16: { standing: 'lost', words: 'GPU requires reset' },
  17: { standing: 'restart', words: 'operating system denied access', fault: { code: 'NVML_DEVICE_BLOCKED', remedy: 'retry', advice: 'the device is not passed to this container: start it with the NVIDIA container runtime and all GPUs, or restart it if it once had them' } },
  18: { standing: 'restart', words: 'library and driver differ in version', fault: { code: 'NVML_VERSION_MISMATCH', remedy: 'retry', advice: 'the driver was updated under the running system: reboot, or reload its kernel modules' } },
  19: { standing: 'passing', words: 'in use' },
  20: { standing: 'passing', words: 'out of memory' },
  21: { standing: 'passing', words: 'no data' },
  23: { standing: 'passing', words: 'insufficient resources' },
  25: { standing: 'never', words: 'argument of another version' },
  26: { standing: 'never', words: 'deprecated' },
  27: { standing: 'passing', words: 'not ready' },
  28: { standing: 'lost', words: 'GPU not found' },
  999: { standing: 'unknown', words: 'unknown error' },
};

export const standingOf = (code: number): Standing => MEANINGS[code]?.standing ?? 'passing';

/** `GPU is lost (NVML 15)` */
export const wordsOf = (code: number): string => `${MEANINGS[code]?.words ?? 'an error it has no name for here'} (NVML ${code})`;

/** @param doing what was asked, for the sentence: `initialise` */
export function nvmlFault(code: number, doing: string): TelemetryError {
  const { code: name = 'NVML_FAILED', remedy = 'retry', advice } = MEANINGS[code]?.fault ?? {};
  return new TelemetryError(name, `NVML can't ${doing}: ${wordsOf(code)}${advice === undefined ? '' : `; ${advice}`}`, remedy);
}
