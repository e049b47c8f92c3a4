/** Simulated experiments: who served what when, by design, as blocks of both sides. */
import type { Block, Design } from '@joulebook/collector/compare/method/compare-blocks.js';
import { joined, minutesOf, MINUTES_PER_HOUR, type World } from './compare-world.js';

export interface Sides {
  readonly a: readonly Block[];
  readonly b: readonly Block[];
}

/** Of each side, the minutes of each of its nodes. */
export interface Minutes {
  readonly a: readonly (readonly Block[])[];
  readonly b: readonly (readonly Block[])[];
}

/** @param size minutes per block */
export function sidesOf({ a, b }: Minutes, size: number): Sides {
  const blocks = (series: Minutes['a']): Block[] => series.flatMap((minutes) => joined(minutes, size));
  return { a: blocks(a), b: blocks(b) };
}

export interface Experiment {
  readonly name: string;
  readonly design: Design;
  /** Without any effect. */
  readonly minutes: (world: World, seed: number) => Minutes;
  /** Of the data, what was there when hours had passed since the sides could be looked at first. */
  readonly until: (sides: Sides, hours: number) => Sides;
  /** Hours over which one can look. */
  readonly looks: (world: World) => number;
}

/** Minutes that a side keeps in a switchback. */
const TURN = 120;
const HOUR = 3600e6;

const before = (blocks: readonly Block[], time: number): readonly Block[] => blocks.filter(({ to }) => to <= time);
const begin = (blocks: readonly Block[]): number => blocks[0]?.from ?? 0;
/** Both sides grow. */
const both = ({ a, b }: Sides, hours: number): Sides => ({ a: before(a, begin(a) + hours * HOUR), b: before(b, begin(a) + hours * HOUR) });

function nodes(world: World, seed: number, count: number): Minutes {
  const side = (name: string): Block[][] => Array.from({ length: count }, (_, index) => minutesOf(world, seed, `${name} ${index}`));
  return { a: side('a'), b: side('b') };
}

/** One node's minutes, each of one side. */
function parted(world: World, seed: number, isOfA: (minute: number, all: number) => boolean): Minutes {
  const minutes = minutesOf(world, seed, 'one');
  const is = minutes.map((_, minute) => isOfA(minute, minutes.length));
  return { a: [minutes.filter((_, minute) => is[minute])], b: [minutes.filter((_, minute) => !is[minute])] };
}

export const EXPERIMENTS: readonly Experiment[] = [
  {
    name: 'before-after', design: 'before-after',
    minutes: (world, seed) => parted(world, seed, (minute, all) => minute < all / 2),
    // A is there when B begins.
    until: ({ a, b }, hours) => ({ a, b: before(b, begin(b) + hours * HOUR) }),
    looks: ({ days }) => 12 * days,
  },
  { name: 'parallel, 1 node each', design: 'parallel', minutes: (world, seed) => nodes(world, seed, 1), until: both, looks: ({ days }) => 24 * days },
  { name: 'parallel, 4 nodes each', design: 'parallel', minutes: (world, seed) => nodes(world, seed, 4), until: both, looks: ({ days }) => 24 * days },
  { name: 'switchback', design: 'switchback', minutes: (world, seed) => parted(world, seed, (minute) => Math.floor(minute / TURN) % 2 === 0), until: both, looks: ({ days }) => 24 * days },
];

const hourOf = (minute: number): number => Math.floor(minute / MINUTES_PER_HOUR) % 24;
const isDay = (minute: number): boolean => hourOf(minute) >= 8 && hourOf(minute) < 20;

export interface Confounded {
  readonly name: string;
  readonly design: Design;
  readonly minutes: (world: World, seed: number) => Minutes;
}

/** B ran at night, with half the load. */
export const CONFOUNDED: readonly Confounded[] = [
  { name: 'A by day, B by night', design: 'switchback', minutes: (world, seed) => parted(world, seed, isDay) },
  {
    name: 'A all week, then B by night', design: 'before-after',
    minutes: (world, seed) => {
      const minutes = minutesOf(world, seed, 'one');
      const half = minutes.length / 2;
      return { a: [minutes.slice(0, half)], b: [minutes.slice(half).filter((_, index) => !isDay(half + index))] };
    },
  },
];
