/**
 * What is known of sensors without asking them. The gain of a GPU board's own sensor is a fixed factor per board, random
 * between boards, within about 5 % (Yang, Adámek, Armour: Part-time Power Measurements, SC 2024); meters have a class.
 */
import type { Boundary } from '@joulebook/shared/slice.js';
import { seconds } from '@joulebook/shared/units.js';
import type { Sensor } from '../source.js';

const within = (part: number): Sensor['gain'] => ({ low: -part, high: part });

/** A GPU board of which nothing more is known. */
export const GPU_BOARD: Sensor = { gain: within(0.05) };
/** RAPL's package and DRAM domains on servers: close to wall-derived values, some parts are mis-scaled. */
export const RAPL: Sensor = { gain: within(0.05), refresh: seconds(0.001) };
/** A board management controller's figure for the whole server. */
export const BMC: Sensor = { gain: within(0.05), averagedOver: seconds(1), refresh: seconds(1) };
/** Outlet and inlet metering of a rack PDU, class 1. */
export const PDU: Sensor = { gain: within(0.01), refresh: seconds(1) };
/** A plug-in meter for homes. */
export const PLUG: Sensor = { gain: within(0.02), refresh: seconds(1) };
/** A reference power analyser, as SPEC PTDaemon asks for. */
export const ANALYSER: Sensor = { gain: within(0.01), averagedOver: seconds(1), refresh: seconds(1) };

const AT_BOUNDARY: Readonly<Record<Boundary, Sensor>> = { gpu: GPU_BOARD, module: GPU_BOARD, cpu: RAPL, dram: RAPL, server: BMC, meter: PDU };

/** What to believe of a sensor of which only the boundary is known. */
export const sensorAt = (boundary: Boundary): Sensor => AT_BOUNDARY[boundary];
