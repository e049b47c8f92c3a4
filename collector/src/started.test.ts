import { hostname } from 'node:os';
import { expect, it } from 'vitest';
import type { HostFacts } from '@joulebook/shared/batch.js';
import { loadSettings } from '@joulebook/shared/settings.js';
import { SETTINGS } from './settings.js';
import { lacksTokens } from './started.js';

const machine = (name: string): HostFacts => ({ hostname: name, os: 'Linux', kernel: '6', cpu: { model: 'x', sockets: 1, cores: 1 }, memoryBytes: 1, gpus: [], agentVersion: '0' });
const seen = (node: string, host: string | null = node) => ({ node, host: host === null ? null : machine(host) });
const settings = (flags: Readonly<Record<string, string>> = {}) => loadSettings(SETTINGS, { flags: { store: '/var/lib/store.duckdb', ...flags } });

it('is as it should be where an open collector has facts of its own machine, and recordings', async () => {
  expect(lacksTokens(await settings(), [seen('simulated', hostname()), seen('of a recording', null)], hostname())).toBeUndefined();
});

it('is missing tokens where others have sent, or TLS is served', async () => {
  expect(lacksTokens(await settings(), [seen('here'), ...['a', 'b', 'c', 'd', 'e'].map((name) => seen(name))], 'here')).toMatch(
    /^no token is set, though its store has facts of other machines \(a, b, c and 2 more\): everybody on this machine.* may read and send\. Restore the tokens \(.*\/var\/lib\/store\.duckdb\.tokens\) or make one/);
  const memory = await settings({ store: ':memory:', tlsCert: 'x.pem', tlsKey: 'x.key' });
  expect(lacksTokens(memory, [], 'here')).toMatch(/^no token is set, though it serves TLS: .*Restore the tokens or make one/);
});
