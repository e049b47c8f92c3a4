/**
 * The truth about a run: who drew which joule. Definitions:
 *
 * - The unit is one iteration, from its start to the start of the next one of its rank: the milliseconds between iterations, while
 *   requests run, belong to the iteration before. Its energy is the integral of the boards' true power over that time.
 * - Only prompts in it, or only decodes: all of its energy, idle level included, belongs to that phase.
 * - Both: W_p and W_d are the dynamic energies, above loaded idle, that its prompts and its decodes would each draw if they were an
 *   iteration by themselves on the boards as they are at that moment (temperature, drift, power limit). The whole energy, idle level
 *   included, is divided W_p : W_d.
 * - No request on the rank, or only ones whose work has not begun: idle. So is the way of a KV cache between two pools.
 * - Within an iteration, its prefill energy is divided over its chunks by their flops. Of its decode energy the part that the step
 *   would draw if no sequence had a past is shared evenly, the rest by KV tokens read.
 * - Requests + idle = total. CPU and server have totals only.
 */
import { joules, seconds } from '@joulebook/shared/units.js';
import type { Boards } from './power-board.js';
import { chunkFlops, decodeWork, demandOf, type Drafting, prefillWork, type Work } from './power-law.js';
import type { Hardware } from './scenario-hardware.js';
import type { Chunk, DecodeStep, Gpu, ServerPower, SimulatedRequest, Truth } from './trace.js';

/** What an iteration's energy is divided by; the shares add up to 1. */
export interface Division {
  readonly prefill: number;
  readonly decode: number;
  /** Of the decode part, what reading the sequences' past costs. */
  readonly pastOfDecode: number;
}

/** Must be asked before the boards run the iteration: it looks at them as they are. */
export function divide(hardware: Hardware, boards: Boards, drafting: Drafting, chunks: readonly Chunk[], steps: readonly DecodeStep[]): Division {
  if (steps.length === 0) return { prefill: 1, decode: 0, pastOfDecode: 0 };
  const alone = (work: Work): number => boards.joulesAlone(demandOf(hardware, work));
  const decode = alone(decodeWork(hardware, steps.length, contextOf(steps), drafting));
  const pastOfDecode = Math.max(0, 1 - alone(decodeWork(hardware, steps.length, 0, drafting)) / decode);
  if (chunks.length === 0) return { prefill: 0, decode: 1, pastOfDecode };
  const prefill = alone(prefillWork(hardware, chunks));
  return { prefill: prefill / (prefill + decode), decode: decode / (prefill + decode), pastOfDecode };
}

export const contextOf = (steps: readonly DecodeStep[]): number => steps.reduce((sum, { context }) => sum + context, 0);

interface DeviceBook {
  prefill: number;
  decode: number;
  idle: number;
  idleSeconds: number;
}

/** Books every joule once. */
export class TruthBook {
  readonly #hardware: Hardware;
  readonly #devices: readonly DeviceBook[];
  /** By request id. */
  readonly #prefill: number[] = [];
  readonly #decode: number[] = [];
  readonly #tokens = { input: 0, cachedInput: 0, output: 0, recomputed: 0 };
  readonly #requestSeconds = { prefill: 0, decode: 0 };
  #mixed = 0;
  #iterations = 0;

  constructor(hardware: Hardware, gpus: number) {
    this.#hardware = hardware;
    this.#devices = Array.from({ length: gpus }, () => ({ prefill: 0, decode: 0, idle: 0, idleSeconds: 0 }));
  }

  /** A request has come: it has drawn nothing yet. */
  open(id: number): void {
    this.#prefill[id] = 0;
    this.#decode[id] = 0;
  }

  /** @param first index of the rank's first GPU; `drawn` is per GPU, gap included */
  iteration(first: number, drawn: readonly number[], division: Division, chunks: readonly Chunk[], steps: readonly DecodeStep[]): void {
    let total = 0;
    for (const [index, energy] of drawn.entries()) {
      const device = this.#devices[first + index];
      if (!device) continue;
      device.prefill += energy * division.prefill;
      device.decode += energy * division.decode;
      total += energy;
    }
    this.#iterations += 1;
    if (chunks.length > 0 && steps.length > 0) this.#mixed += total;
    this.#shareChunks(total * division.prefill, chunks);
    this.#shareSteps(total * division.decode, division.pastOfDecode, steps);
  }

  idle(first: number, drawn: readonly number[], lasts: number): void {
    for (const [index, energy] of drawn.entries()) {
      const device = this.#devices[first + index];
      if (!device) continue;
      device.idle += energy;
      device.idleSeconds += lasts;
    }
  }

  close(request: SimulatedRequest): void {
    const firstToken = request.firstToken ?? request.end;
    this.#requestSeconds.prefill += firstToken - request.arrival;
    this.#requestSeconds.decode += request.end - firstToken;
    this.#tokens.input += request.computedTokens;
    this.#tokens.cachedInput += request.cachedTokens;
    this.#tokens.output += request.outputTokens;
    this.#tokens.recomputed += request.recomputedTokens;
  }

  truth(duration: number, gpus: readonly Gpu[], { cpu, server }: ServerPower): Truth {
    const sum = (of: (device: DeviceBook) => number): number => this.#devices.reduce((total, device) => total + of(device), 0);
    const prefill = sum((device) => device.prefill);
    const decode = sum((device) => device.decode);
    const idle = sum((device) => device.idle);
    const busy = prefill + decode;
    return {
      duration: seconds(duration),
      total: { prefill: joules(prefill), decode: joules(decode), idle: joules(idle) },
      devices: this.#devices.map((device, index) => ({
        device: gpus[index]?.name ?? String(index),
        joules: joules(device.prefill + device.decode + device.idle),
        idleSeconds: seconds(device.idleSeconds),
        prefill: joules(device.prefill),
        decode: joules(device.decode),
        idle: joules(device.idle),
      })),
      cpu: cpu.joulesUntil(seconds(duration)),
      server: server.joulesUntil(seconds(duration)),
      idleShare: idle / (busy + idle),
      mixedShare: busy === 0 ? 0 : this.#mixed / busy,
      iterations: this.#iterations,
      tokens: { ...this.#tokens },
      requestSeconds: { prefill: seconds(this.#requestSeconds.prefill), decode: seconds(this.#requestSeconds.decode) },
      requests: this.#prefill.map((energy, id) => ({ id, prefill: joules(energy), decode: joules(this.#decode[id] ?? 0) })),
    };
  }

  #shareChunks(energy: number, chunks: readonly Chunk[]): void {
    const flops = chunks.map(({ tokens, contextBefore }) => chunkFlops(this.#hardware, tokens, contextBefore));
    const all = flops.reduce((sum, value) => sum + value, 0);
    for (const [index, { request }] of chunks.entries()) this.#prefill[request] = (this.#prefill[request] ?? 0) + (energy * (flops[index] ?? 0)) / all;
  }

  #shareSteps(energy: number, pastShare: number, steps: readonly DecodeStep[]): void {
    const even = (energy * (1 - pastShare)) / steps.length;
    const perToken = (energy * pastShare) / contextOf(steps);
    for (const { request, context } of steps) this.#decode[request] = (this.#decode[request] ?? 0) + even + perToken * context;
  }
}
