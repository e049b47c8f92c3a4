/** Simulated experiments: who served what when, by design, as blocks of both sides. */
import type { Block, Design } from '@joulebook/collector/compare/method/compare-blocks.js';
import { joined, minutesOf, MINUTES_PER_HOUR, type World } from './compare-world.js';

export interface Sides {
  readonly a: readonly Block[];
  readonly b: readonly Block[];
}

export interface Experiment {
  readonly name: string;
  readonly design: Design;
  /** Without any effect. @param size minutes per block */
  readonly sides: (world: World, seed: number, size: number) => Sides;
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

function nodes(world: World, seed: number, size: number, count: number): Sides {
  const side = (name: string): Block[] => Array.from({ length: count }, (_, index) => joined(minutesOf(world, seed, `${name} ${index}`), size)).flat();
  return { a: side('a'), b: side('b') };
}

export const EXPERIMENTS: readonly Experiment[] = [
  {
    name: 'before-after', design: 'before-after',
    sides: (world, seed, size) => {
      const all = joined(minutesOf(world, seed, 'one'), size);
      return { a: all.slice(0, all.length / 2), b: all.slice(all.length / 2) };
    },
    // A is there when B begins.
    until: ({ a, b }, hours) => ({ a, b: before(b, begin(b) + hours * HOUR) }),
    looks: ({ days }) => 12 * days,
  },
  {
    name: 'parallel, 1 node each', design: 'parallel',
    sides: (world, seed, size) => nodes(world, seed, size, 1),
    until: both,
    looks: ({ days }) => 24 * days,
  },
  {
    name: 'parallel, 4 nodes each', design: 'parallel',
    sides: (world, seed, size) => nodes(world, seed, size, 4),
    until: both,
    looks: ({ days }) => 24 * days,
  },
  {
    name: 'switchback', design: 'switchback',
    sides: (world, seed, size) => {
      const minutes = minutesOf(world, seed, 'one');
      const turn = (which: number) => joined(minutes.filter((_, minute) => Math.floor(minute / TURN) % 2 === which), size);
      return { a: turn(0), b: turn(1) };
    },
    until: both,
    looks: ({ days }) => 24 * days,
  },
];

const hourOf = (index: number): number => Math.floor(index / MINUTES_PER_HOUR) % 24;
const isDay = (index: number): boolean => hourOf(index) >= 8 && hourOf(index) < 20;

export interface Confounded {
  readonly name: string;
  readonly design: Design;
  readonly sides: (world: World, seed: number, size: number) => Sides;
}

/** B ran at night, with half the load. */
export const CONFOUNDED: readonly Confounded[] = [
  {
    name: 'A by day, B by night', design: 'switchback',
    sides: (world, seed, size) => {
      const minutes = minutesOf(world, seed, 'one');
      return { a: joined(minutes.filter((_, index) => isDay(index)), size), b: joined(minutes.filter((_, index) => !isDay(index)), size) };
    },
  },
  {
    name: 'A all week, then B by night', design: 'before-after',
    sides: (world, seed, size) => {
      const minutes = minutesOf(world, seed, 'one');
      const half = minutes.length / 2;
      return { a: joined(minutes.slice(0, half), size), b: joined(minutes.slice(half).filter((_, index) => !isDay(half + index)), size) };
    },
  },
];
