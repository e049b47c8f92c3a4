import { seconds } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { agentMetrics, type Look } from './metrics.js';
import { servePage } from './page.js';

const log = { info: () => undefined, warn: () => undefined };
const LOOK: Look = {
  outlet: { memoryBatches: 0, memoryBytes: 0, spooledBatches: 3, spoolBytes: 900, lostBatches: 0, spoolOpen: true, sent: { accepted: 7, rejected: 0, retried: 2 } },
  bookingDelay: seconds(1.5), evidence: [{ deployment: 'chat', source: 'vllm', delay: seconds(4) }], readings: [{ source: 'rapl', device: 'cpu0', age: seconds(0.2) }],
};

describe('what the agent says of itself', () => {
  it('counts through several pipelines, and looks up only the one that runs', async () => {
    const metrics = agentMetrics(() => seconds(0));
    metrics.begins(() => LOOK);
    metrics.reading('rapl');
    metrics.begins(() => ({ ...LOOK, evidence: [], outlet: { ...LOOK.outlet, sent: { accepted: 1, rejected: 0, retried: 0 } } }));
    metrics.reading('rapl');
    metrics.gap('rapl');
    const { text } = await metrics.expose();
    expect(text).toContain('joulebook_agent_readings_total{source="rapl"} 2\n');
    expect(text).toContain('joulebook_agent_gaps_total{source="rapl"} 1\n');
    expect(text).toContain('joulebook_agent_sends_total{result="accepted"} 1\n');
    expect(text).toContain('joulebook_agent_reading_age_seconds{source="rapl",device="cpu0"} 0.2\n');
    expect(text).not.toContain('deployment="chat"');
  });

  it('counts flags by code, and what asking sensors cost beside the bill', async () => {
    const metrics = agentMetrics(() => seconds(0));
    const billed: string[] = [];
    const bill = metrics.watching({ read: (source) => void billed.push(`read ${source}`), missed: (source, ticks) => void billed.push(`missed ${ticks} ${source}`), statement: () => [], latency: () => undefined });
    bill.read('rapl', seconds(0.003));
    bill.missed('rapl', 2);
    expect(billed).toEqual(['read rapl', 'missed 2 rapl']);
    const { text } = await metrics.expose();
    expect(text).toContain('joulebook_agent_read_seconds_count{source="rapl"} 1\n');
    expect(text).toContain('joulebook_agent_sampler_missed_total{source="rapl"} 2\n');
  });

  it('is not ready before the first tick, after a long silence, and while the disk can not be used', () => {
    let now = seconds(100);
    const metrics = agentMetrics(() => now);
    expect(metrics.trouble()).toContain('starting');
    metrics.begins(() => LOOK);
    metrics.ticked(0);
    expect(metrics.trouble()).toBeUndefined();
    now = seconds(111);
    expect(metrics.trouble()).toContain('11 s');
    metrics.ticked(10);
    expect(metrics.trouble()).toBeUndefined();
    metrics.begins(() => ({ ...LOOK, outlet: { ...LOOK.outlet, spoolOpen: false } }));
    expect(metrics.trouble()).toContain('disk');
  });

  it('is not served to others without a token', async () => {
    const metrics = agentMetrics(() => seconds(0));
    await expect(servePage({ listen: { host: '0.0.0.0', port: 0 }, token: undefined, metrics, log })).rejects.toThrow('metricsListen: 0.0.0.0 can be reached by others');
  });

  it('is left out, and said, where its address is taken', async () => {
    const metrics = agentMetrics(() => seconds(0));
    const first = await servePage({ listen: { host: '127.0.0.1', port: 0 }, token: undefined, metrics, log });
    const said: string[] = [];
    const port = Number(new URL(first?.address ?? '').port);
    expect(await servePage({ listen: { host: '127.0.0.1', port }, token: undefined, metrics, log: { ...log, warn: (message) => void said.push(message) } })).toBeUndefined();
    expect(said.join()).toContain('the agent measures all the same');
    expect((await fetch(`${first?.address}/readyz`)).status).toBe(503);
    first?.close();
  });
});
