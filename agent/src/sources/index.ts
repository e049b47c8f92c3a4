/**
 * THE list of built-in sources: adding one means its file and one line here. Configuration, --help and the contract
 * tests are derived from it.
 */
import { liveNvml } from './power/nvidia/nvml.js';
import { liveNvidiaSmi } from './power/nvidia/nvidia-smi.js';
import { liveDcgmi } from './power/nvidia/dcgmi.js';
import { dcgmExporter, liveDcgmExporter } from './power/nvidia/dcgm-exporter.js';
import { liveAmdSmi } from './power/other-gpus/amd-smi.js';
import { liveRocmSmi } from './power/other-gpus/rocm-smi.js';
import { liveXpuSmi } from './power/other-gpus/xpu-smi.js';
import { dcgmiDmon } from './power/nvidia/dcgmi-dmon-file.js';
import { nvidiaSmiXml } from './power/nvidia/nvidia-smi-xml-file.js';
import { csv } from './power/csv.js';
import { nvidiaSmiCsv } from './power/nvidia/nvidia-smi-csv.js';
import { ptdaemon } from './power/ptdaemon.js';
import { readings } from './power/readings.js';
import { liveRapl } from './power/host/rapl.js';
import { recordedRapl } from './power/host/rapl-recorded.js';
import { liveHwmon } from './power/host/hwmon.js';
import { liveRedfish } from './power/host/redfish.js';
import { recordedRedfish } from './power/host/redfish-recorded.js';
import { liveIpmi } from './power/host/ipmi.js';
import { ipmiDcmi } from './power/host/ipmi-dcmi.js';
import { liveSnmpPdu } from './power/meters/snmp-pdu.js';
import { liveHttpMeter } from './power/meters/http-meter.js';
import { livePrometheusPower } from './power/meters/prometheus-power.js';
import { liveModbusMeter } from './power/meters/modbus-meter.js';
import type { LivePowerKind, LiveServingKind } from './live.js';
import type { PowerFormat, ServingFormat } from './recorded.js';
import { counters } from './serving/counters.js';
import { evidence } from './serving/evidence.js';
import { believedFormat, believedKind } from './serving/plausible.js';
import { mlperfLoadgen } from './serving/mlperf-loadgen.js';
import { requests } from './serving/requests.js';
import type { LogDialect } from './serving/logs/dialect.js';
import { llamacpp as llamacppLog } from './serving/logs/llamacpp.js';
import { lmdeploy } from './serving/logs/lmdeploy.js';
import { ollama } from './serving/logs/ollama.js';
import { liveAutoLog, liveLog } from './serving/logs/live-log.js';
import { autoLog, recordedLog } from './serving/logs/recorded-log.js';
import { sglang as sglangLog } from './serving/logs/sglang.js';
import { vllmLog } from './serving/logs/vllm.js';
import { dynamo as dynamoLog } from './serving/logs/dynamo.js';
import { tgi as tgiLog } from './serving/logs/tgi.js';
import { dynamoTrace } from './serving/dynamo-trace.js';
import { aiperf } from './serving/aiperf.js';
import { envoyAiGateway } from './serving/envoy-ai-gateway.js';
import { litellm } from './serving/litellm.js';
import { otelGenai } from './serving/otel-genai.js';
import { trtllmLog } from './serving/logs/trtllm.js';
import type { MetricsDialect } from './serving/metrics/dialect.js';
import { dynamo as dynamoMetrics } from './serving/metrics/dynamo.js';
import { tgi as tgiMetrics } from './serving/metrics/tgi.js';
import { liveMetrics, recordedMetrics } from './serving/metrics/source.js';
import { sglang as sglangMetrics } from './serving/metrics/sglang.js';
import { triton } from './serving/metrics/triton.js';
import { trtllm } from './serving/metrics/trtllm.js';
import { llamacpp as llamacppMetrics } from './serving/metrics/llamacpp.js';
import { vllm } from './serving/metrics/vllm.js';
import { liveTrtllmIterations, trtllmIterations } from './serving/trtllm-iterations.js';

/** Metrics pages of engines; each is a live source and a recorded format. */
const metricsDialects: readonly MetricsDialect[] = [
  dynamoMetrics,
  tgiMetrics,
  vllm,
  sglangMetrics,
  trtllm,
  triton,
  llamacppMetrics,
];

/** Logs of engines; each is a live source and a recorded format, and `log` finds out which it is. */
const logDialects: readonly LogDialect[] = [
  vllmLog,
  sglangLog,
  dynamoLog,
  tgiLog,
  lmdeploy,
  trtllmLog,
  llamacppLog,
  ollama,
  litellm,
  envoyAiGateway,
];

export const livePowerKinds: readonly LivePowerKind[] = [liveNvml, liveNvidiaSmi, liveDcgmi, liveDcgmExporter, liveAmdSmi, liveRocmSmi, liveXpuSmi, liveRapl, liveHwmon, liveRedfish, liveIpmi, liveSnmpPdu, liveHttpMeter, livePrometheusPower, liveModbusMeter];
export const liveServingKinds: readonly LiveServingKind[] = [...metricsDialects.map(liveMetrics), ...logDialects.map((dialect) => liveLog(dialect, logDialects)), liveAutoLog(logDialects), liveTrtllmIterations].map(believedKind);
export const powerFormats: readonly PowerFormat[] = [readings, nvidiaSmiCsv, ptdaemon, csv, nvidiaSmiXml, dcgmiDmon, dcgmExporter, recordedRapl, ipmiDcmi, recordedRedfish];
export const servingFormats: readonly ServingFormat[] = [evidence, ...metricsDialects.map(recordedMetrics), ...logDialects.map((dialect) => recordedLog(dialect, logDialects)), autoLog(logDialects), requests, counters, dynamoTrace, otelGenai, aiperf, trtllmIterations, mlperfLoadgen].map(believedFormat);
