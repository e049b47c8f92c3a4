/**
 * NVML from its initialisation to its shutdown: finds the boards, asks all of them in turn, and tries a lost one again each
 * minute. What no single board can mend ends the session with a `retry`: the library is initialised anew by the next one.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import { seconds, type Instant, type Seconds } from '@joulebook/shared/units.js';
import type { PowerEvent } from '../../source.js';
import type { GpuUse } from './gpu-processes.js';
import { BoardLost, NVML_SOURCE, nvmlBoard, type BoardIdentity, type NvmlBoard } from './nvml-board.js';
import { loadNvml, type Answer, type Nvml, type NvmlHandle } from './nvml-library.js';
import { probeRefresh } from './nvml-probe.js';
import { NVML_SUCCESS, nvmlFault, standingOf, wordsOf } from './nvml-return.js';

export interface NvmlOpening {
  readonly library?: string | undefined;
  /** Find out how often values change; takes up to two seconds. */
  readonly probe: boolean;
  /** Time between two rounds. */
  readonly period: Seconds;
  /** The energy counter and the gauges are asked in each so many rounds. */
  readonly slowEvery: number;
  /** A session ended for unknown errors a moment ago: initialising anew did not help, so such a board counts as lost now. */
  readonly anew: boolean;
}

export interface NvmlSession {
  /** How many GPUs there are, lost ones among them. */
  readonly gpus: number;
  /** One round over all boards. @throws TelemetryError `retry`: close it and open another */
  read(now: () => Instant): PowerEvent[];
  /** Which processes compute on which board. */
  uses(): GpuUse[];
  close(): void;
}

export const UNKNOWN_ERRORS = 'NVML_UNKNOWN_ERRORS';
const LOST_RETRY_SECONDS = 60;

interface Slot {
  readonly index: number;
  board: NvmlBoard | undefined;
  /** undefined: lost; not asked before `retryAt`. */
  handle: NvmlHandle | undefined;
  retryAt: number;
  told: boolean;
}

/** @throws TelemetryError `disable` when NVML, its driver or a GPU is not here, `retry` when it may come */
export async function openNvmlSession({ library, probe, period, slowEvery, anew }: NvmlOpening): Promise<NvmlSession> {
  const nvml = await loadNvml({ library });
  const begun = nvml.init();
  if (begun !== NVML_SUCCESS) throw nvmlFault(begun, 'initialise');
  try {
    const count = nvml.count();
    if (!count.ok) throw nvmlFault(count.code, 'count GPUs');
    if (count.value === 0) throw new TelemetryError('NVML_NO_GPU', 'NVML sees no GPU: pass one to this container or machine, or remove the source nvml.', 'disable');
    const slowPeriod = seconds(slowEvery * period);
    const slots = Array.from({ length: count.value }, (_, index): Slot => ({ index, board: undefined, handle: undefined, retryAt: Number.NEGATIVE_INFINITY, told: false }));
    const found = slots.flatMap((slot) => {
      const opened = openBoard(nvml, slot.index);
      return opened.ok ? [{ slot, ...opened.value }] : [];
    });
    const refreshes = probe ? await probeRefresh(nvml, found.map(({ handle }) => handle)) : [];
    for (const [order, { slot, handle, identity }] of found.entries()) {
      slot.handle = handle;
      slot.board = nvmlBoard(nvml, identity, { refresh: refreshes[order] ?? {}, slowPeriod });
    }
    return session(nvml, slots, { slowEvery, slowPeriod, anew });
  } catch (error) {
    nvml.shutdown();
    throw error;
  }
}

function openBoard(nvml: Nvml, index: number): Answer<{ readonly handle: NvmlHandle; readonly identity: BoardIdentity }> {
  const handle = nvml.handle(index);
  if (!handle.ok) return handle;
  const uuid = nvml.uuid(handle.value);
  if (!uuid.ok) return uuid;
  const name = nvml.name(handle.value);
  const serial = nvml.serial(handle.value);
  const architecture = nvml.architecture(handle.value);
  const identity = { index, uuid: uuid.value, ...(name.ok && { name: name.value }), ...(serial.ok && { serial: serial.value }), ...(architecture.ok && { architecture: architecture.value }) };
  return { ok: true, value: { handle: handle.value, identity } };
}

function session(nvml: Nvml, slots: readonly Slot[], { slowEvery, slowPeriod, anew }: Pick<NvmlOpening, 'slowEvery' | 'anew'> & { readonly slowPeriod: Seconds }): NvmlSession {
  let rounds = 0;

  /** @returns the code that stands in the way */
  function find(slot: Slot): number {
    const opened = openBoard(nvml, slot.index);
    if (!opened.ok) {
      if (standingOf(opened.code) === 'restart') throw nvmlFault(opened.code, `open GPU ${slot.index}`);
      return opened.code;
    }
    slot.handle = opened.value.handle;
    // A board that was never there has not been probed; what is published of it must do.
    slot.board ??= nvmlBoard(nvml, opened.value.identity, { refresh: {}, slowPeriod });
    return NVML_SUCCESS;
  }

  function lost(slot: Slot, words: string, at: Instant): PowerEvent[] {
    slot.handle = undefined;
    slot.retryAt = at + LOST_RETRY_SECONDS;
    if (slot.told) return [];
    slot.told = true;
    const device = slot.board?.identity.uuid;
    const detail = `${NVML_SOURCE}: ${device ?? `GPU ${slot.index}`}: ${words}; it is tried again each minute. See dmesg (Xid), reset the GPU or reboot.`;
    const flagged: PowerEvent = { kind: 'flagged', code: 'GPU_LOST', detail, count: 1, ...(device !== undefined && { device }) };
    return slot.board ? [{ kind: 'break', channels: slot.board.channels, at, reason: words }, flagged] : [flagged];
  }

  function readSlot(slot: Slot, now: () => Instant, slow: boolean, modules: Set<string>): PowerEvent[] {
    if (slot.handle === undefined) {
      const at = now();
      if (at < slot.retryAt) return [];
      const code = find(slot);
      if (code !== NVML_SUCCESS) return lost(slot, wordsOf(code), at);
    }
    if (!slot.board || slot.handle === undefined) return [];
    try {
      const events = slot.board.read(slot.handle, { now, slow, modules });
      slot.told = false;
      return events;
    } catch (error) {
      if (!(error instanceof BoardLost)) throw error;
      if (error.unknown && !anew) throw new TelemetryError(UNKNOWN_ERRORS, `NVML says nothing but unknown errors of ${slot.board.identity.uuid}; it is initialised anew.`, 'retry');
      return lost(slot, error.message, now());
    }
  }

  return {
    gpus: slots.length,
    read(now) {
      const slow = rounds % slowEvery === 0;
      rounds += 1;
      const modules = new Set<string>();
      return slots.flatMap((slot) => readSlot(slot, now, slow, modules));
    },
    uses: () =>
      slots.flatMap(({ board, handle }): GpuUse[] => {
        const running = board && handle !== undefined ? nvml.processes(handle) : undefined;
        if (!board || !running?.ok) return [];
        return running.value.map(({ pid, memoryBytes, migInstance }) => ({ device: board.identity.uuid, pid, ...(memoryBytes !== undefined && { memoryMiB: memoryBytes / 2 ** 20 }), ...(migInstance !== undefined && { migInstance }) }));
      }),
    close: () => nvml.shutdown(),
  };
}
