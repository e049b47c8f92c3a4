/**
 * THE list of built-in sources: adding one means its file and one line here. Configuration, --help and the contract
 * tests are derived from it.
 */
import { liveNvidiaSmi } from './power/nvidia-smi.js';
import { csv } from './power/csv.js';
import { nvidiaSmiCsv } from './power/nvidia-smi-csv.js';
import { ptdaemon } from './power/ptdaemon.js';
import type { LivePowerKind, LiveServingKind } from './live.js';
import type { PowerFormat, ServingFormat } from './recorded.js';
import { counters } from './serving/counters.js';
import { mlperfLoadgen } from './serving/mlperf-loadgen.js';
import { requests } from './serving/requests.js';
import { liveVllmMetrics, vllmMetrics } from './serving/vllm-metrics.js';

export const livePowerKinds: readonly LivePowerKind[] = [liveNvidiaSmi];
export const liveServingKinds: readonly LiveServingKind[] = [liveVllmMetrics];
export const powerFormats: readonly PowerFormat[] = [nvidiaSmiCsv, ptdaemon, csv];
export const servingFormats: readonly ServingFormat[] = [vllmMetrics, requests, counters, mlperfLoadgen];
