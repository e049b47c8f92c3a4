/** A gateway's log of requests, one JSON object per line, written when each is over. */
import { dialect } from './format.js';

export const requests = dialect({
  name: 'requests',
  summary: 'JSON lines with start, firstToken, end, inputTokens, cachedInputTokens, outputTokens, status of each request',
  file: 'requests.jsonl',
  speaks: 'gateway',
  options: {},
  write: ({ clock }) => ({
    request: ({ id, arrival, firstToken, end, inputTokens, cachedTokens, outputTokens, outcome }) =>
      `${JSON.stringify({
        id: `r${id}`,
        start: micros(clock.at(arrival)),
        ...(firstToken !== undefined && { firstToken: micros(clock.at(firstToken)) }),
        end: micros(clock.at(end)),
        inputTokens,
        cachedInputTokens: cachedTokens,
        outputTokens,
        status: outcome,
      })}\n`,
  }),
});

/** A double shows today's time to 0.24 µs: more digits are noise. */
const micros = (at: number): number => Math.round(at * 1e6) / 1e6;
