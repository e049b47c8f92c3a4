/** The formats of sensor readings that a simulation can write. */
import { dcgmExporter } from './dcgm-exporter.js';
import type { SensorFormat } from './format.js';
import { ipmiDcmi } from './ipmi-dcmi.js';
import { nvidiaSmiCsv } from './nvidia-smi-csv.js';
import { rapl } from './rapl.js';
import { readings } from './readings.js';

export const sensorFormats: readonly SensorFormat[] = [nvidiaSmiCsv, readings, dcgmExporter, rapl, ipmiDcmi];
