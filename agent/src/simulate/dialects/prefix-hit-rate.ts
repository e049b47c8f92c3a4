/** vLLM's hit rate of the prefix cache: over the last 1000 requests, in tokens. */
const REQUESTS = 1000;

export interface PrefixHitRate {
  add(cached: number, prompt: number): void;
  percent(): number;
}

export function prefixHitRate(): PrefixHitRate {
  const requests: { readonly cached: number; readonly prompt: number }[] = [];
  let cachedTokens = 0;
  let promptTokens = 0;
  return {
    add(cached, prompt) {
      requests.push({ cached, prompt });
      cachedTokens += cached;
      promptTokens += prompt;
      if (requests.length <= REQUESTS) return;
      const left = requests.shift();
      cachedTokens -= left?.cached ?? 0;
      promptTokens -= left?.prompt ?? 0;
    },
    percent: () => (promptTokens === 0 ? 0 : (100 * cachedTokens) / promptTokens),
  };
}
