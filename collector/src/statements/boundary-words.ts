/** What a boundary has in it and what it lacks, in words: a figure in kWh says nothing without. */
import type { Boundary } from '@joulebook/shared/slice.js';

export const BOUNDARY_WORDS: Readonly<Record<Boundary, { readonly holds: string; readonly lacks: string }>> = {
  gpu: { holds: 'the GPUs, as their own sensors tell it', lacks: 'CPUs, memory, storage, network, fans and power supplies of the servers, and what is outside of them' },
  module: { holds: 'the accelerator modules with their CPUs and memory, as their own sensors tell it', lacks: 'storage, network, fans and power supplies of the servers, and what is outside of them' },
  cpu: { holds: 'the CPUs, as their own counters tell it', lacks: 'GPUs, memory, storage, network, fans and power supplies of the servers, and what is outside of them' },
  dram: { holds: 'the memory, as its own counters tell it', lacks: 'GPUs, CPUs, storage, network, fans and power supplies of the servers, and what is outside of them' },
  server: { holds: 'whole servers, at their power supplies', lacks: 'network, shared storage, cooling and losses of distribution outside of the servers' },
  meter: { holds: 'what a meter or power distribution unit delivered', lacks: 'what is fed by another meter' },
};
