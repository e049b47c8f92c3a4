/** A small server with vLLM's /metrics whose true tokens are known. */
import { createServer, type Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const metric = (name: string, value: number, labels = ''): string => `# TYPE ${name} counter\n${name}{model_name="toy-8b",engine="0"${labels}} ${value}\n`;

export class Engine {
  prompt = 0;
  generated = 0;
  finished = 0;
  running = 0;
  scrapes = 0;
  /** What was produced over all lives of the engine. */
  readonly total = { prompt: 0, generated: 0, finished: 0 };
  readonly #server: Server = createServer((_, response) => {
    this.scrapes += 1;
    response.setHeader('content-type', 'text/plain; version=0.0.4');
    response.end(
      metric('vllm:prompt_tokens_total', this.prompt) +
        metric('vllm:generation_tokens_total', this.generated) +
        metric('vllm:prompt_tokens_cached_total', 0) +
        metric('vllm:num_requests_running', this.running) +
        metric('vllm:num_requests_waiting', 0) +
        metric('vllm:request_success_total', this.finished, ',finished_reason="stop"'),
    );
  });

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('no address');
    return `http://127.0.0.1:${address.port}/metrics`;
  }

  produce(prompt: number, generated: number): void {
    this.count(prompt, generated, 1);
  }

  count(prompt: number, generated: number, finished: number): void {
    for (const counts of [this, this.total]) {
      counts.prompt += prompt;
      counts.generated += generated;
      counts.finished += finished;
    }
  }

  restart(): void {
    this.prompt = 0;
    this.generated = 0;
    this.finished = 0;
  }

  async scraped(times: number): Promise<void> {
    for (const until = this.scrapes + times; this.scrapes < until; ) await sleep(20);
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
