/** A power that is known at every moment, and its integral: what a stand-in sensor shows and what must come out. */
const SLOW = { amplitude: 150, period: 7 };
const FAST = { amplitude: 50, period: 1.3 };
const base = (gpu: number): number => 300 + 40 * gpu;

/** Watts of one GPU at a moment in epoch seconds. */
export const powerAt = (gpu: number, at: number): number => base(gpu) + [SLOW, FAST].reduce((sum, { amplitude, period }) => sum + amplitude * Math.sin((2 * Math.PI * at) / period), 0);

const integral = (gpu: number, at: number): number => base(gpu) * at - [SLOW, FAST].reduce((sum, { amplitude, period }) => sum + amplitude * (period / (2 * Math.PI)) * Math.cos((2 * Math.PI * at) / period), 0);

/** Joules of one GPU between two moments. */
export const energyBetween = (gpu: number, from: number, to: number): number => integral(gpu, to) - integral(gpu, from);
