/** The words in which a simulation can tell what its engine did. */
import { dynamoTrace } from './dynamo-trace.js';
import type { Dialect } from './format.js';
import { llamacppLog } from './llamacpp-log.js';
import { requests } from './requests.js';
import { sglangLog } from './sglang-log.js';
import { sglangMetrics } from './sglang-metrics.js';
import { tgiLog } from './tgi-log.js';
import { trtllmLog } from './trtllm-log.js';
import { vllmLog } from './vllm-log.js';
import { vllmMetrics } from './vllm-metrics.js';

export const dialects: readonly Dialect[] = [vllmLog, vllmMetrics, sglangLog, sglangMetrics, trtllmLog, llamacppLog, tgiLog, requests, dynamoTrace];
