import { expect, it } from 'vitest';
import { isWorldUnique } from './series.js';

it('takes UUIDs and serials for names that are unique in the world', () => {
  for (const name of ['GPU-1f3b9c4e-0a2d-4c5e-9f00-5a6b7c8d9e0f', '1654922006536', 'ZA1823009876', 'pdu ZA1823009876/outlet 3', '4c4c4544-0051-4d10-8052-c3c04f4a4a32']) expect([name, isWorldUnique(name)]).toEqual([name, true]);
});

it('takes nothing else for one: not a place on a host, not a role, not an address', () => {
  for (const name of ['cpu0', 'dram1', 'server', 'gpu', '0', '7', 'outlet12', 'inlet1', '00000000:4B:00.0', '0000:c1:00.0', '00000000', '169.254.3.254', '00000000-0000-0000-da55-00000bd58086', 'GPU-00000000-0000-0000-0000-000000000000', 'node-17', 'package-0']) expect([name, isWorldUnique(name)]).toEqual([name, false]);
});
