/** Power that is known in closed form, for the tests of sensors. */
import { joules, seconds, watts } from '@joulebook/shared/units.js';
import type { PowerTrace, ServerPower } from '../trace.js';

const trace = (device: string, until: number, wattsAt: (at: number) => number, joulesUntil: (at: number) => number): PowerTrace => ({
  device,
  start: seconds(0),
  until: seconds(until),
  wattsAt: (at) => watts(wattsAt(at)),
  joulesUntil: (at) => {
    if (at < 0 || at > until) throw new RangeError(`asked for ${at} s`);
    return joules(joulesUntil(at));
  },
  forget: () => undefined,
});

/** `low` for the first half of each period, `high` for the second. */
export function squareWave(low: number, high: number, period: number, until = 1000): PowerTrace {
  const wattsAt = (at: number): number => (at - Math.floor(at / period) * period < period / 2 ? low : high);
  const joulesUntil = (at: number): number => {
    const whole = Math.floor(at / period);
    const rest = at - whole * period;
    return whole * ((low + high) / 2) * period + low * Math.min(rest, period / 2) + high * Math.max(0, rest - period / 2);
  };
  return trace('square', until, wattsAt, joulesUntil);
}

export const constantPower = (level: number, until = 1000): PowerTrace => trace('constant', until, () => level, (at) => level * at);

/** `low` until `at`, then `high`. */
export const stepPower = (low: number, high: number, at: number, until = 1000): PowerTrace => trace('step', until, (t) => (t < at ? low : high), (t) => low * Math.min(t, at) + high * Math.max(0, t - at));

export const serverOf = (gpus: readonly PowerTrace[], cpu = constantPower(150), server = constantPower(900)): ServerPower => ({ gpus, cpu, server });
