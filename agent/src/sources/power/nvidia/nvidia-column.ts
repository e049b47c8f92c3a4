import { seconds } from '@joulebook/shared/units.js';
import type { Sensor } from '../../source.js';
import { gpuSensor } from './gpu-sensors.js';
import type { ModuleColumn, PowerColumn } from './nvidia-smi-row.js';

/** `power.draw` is the average on Ampere (not A100, A30) and newer, else the instant. */
const READS = { 'power.draw': 'unspecified', 'power.draw.average': 'average', 'power.draw.instant': 'instant', 'module.power.draw.average': 'average', 'module.power.draw.instant': 'instant' } as const;

/**
 * What stands behind a column of nvidia-smi.
 * @param name the product's, where it is known
 */
export function columnSensor(name: string | undefined, column: PowerColumn | ModuleColumn): Sensor {
  const sensor = gpuSensor(name, READS[column]);
  // Of whatever board that has it, nvidia-smi's own help says.
  return READS[column] === 'average' && sensor.averagedOver === undefined ? { ...sensor, averagedOver: seconds(1) } : sensor;
}
