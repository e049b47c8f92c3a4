/** A scenario with its parts, for people: shown by `simulate --help`, and checked by a test to be one. */
export const EXAMPLE = `seed: 1
duration: 10m                        # requests arrive so long; the run ends with the last of them
hardware: h100-8b                    # h100-8b, h100-70b-tp4, a100-13b, l40s-8b, rtx3090-8b
board: { capWatts: 650 }             # what differs from it
engine:
  batching: chunked                  # chunked: prompts and decodes in one iteration (vLLM); prefillFirst: pure ones (SGLang)
  maxBatchedTokens: 8192
  maxSequences: 256
  ranks: 1                           # data-parallel copies, each with GPUs of its own
  # speculative: { tokens: 3, acceptance: 0.7 }
  # disaggregated: { prefillRanks: 1, decodeRanks: 1 }
traffic:
  - { work: chat, arrivals: { kind: poisson, perSecond: 5 } }
  - { work: rag, arrivals: { kind: gamma, perSecond: 0.4, cv: 2 }, aborts: 0.02 }
  - { work: code, arrivals: { kind: closed, users: 4, think: 20s } }      # also: onOff, ramp
  - { arrivals: { kind: poisson, perSecond: 0.1 }, prompt: { kind: fixed, tokens: 6000 }, output: { kind: lognormal, median: 300, sigma: 0.5 } }
pauses: [{ from: 5m, to: 330s }]
recording:
  node: simulated
  start: 2026-01-15T09:00:00Z
  deployment: chat
  boards:                            # their sensors; what is not said is what is known of such boards
    gains: [1.03]                    # shown / drawn of each board; without it within 1 ± gainSpread
    delay: 0s
    instant: { window: 25ms, refresh: 100ms }
    average: { window: 1s, refresh: 100ms }
    counter: { refresh: 100ms }
  power:
    - { format: nvidia-smi-csv, period: 100ms, jitter: 5ms, lost: 0.001, pauses: { every: 5m, lasting: 2s }, columns: [power.draw, power.draw.instant], tz: America/Chicago }
    - { format: readings, period: 1s, channels: [counter] }
    - { format: ipmi-dcmi, period: 5s, gain: 0.98 }
  serving:                           # the first counts the tokens, the others are evidence
    - { format: vllm-metrics, period: 1s }
    - { format: vllm-log, interval: 10s, iterations: true, clock: { offset: -0.35, driftPpm: 20 } }
`;
