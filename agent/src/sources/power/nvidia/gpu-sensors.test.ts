import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { gpuGeneration, gpuSensor } from './gpu-sensors.js';

const table = new URL('../../../../../../shared/reference/gpu_sensor_profiles.csv', import.meta.url);

describe('the gain of a board', () => {
  it('is 5 % either way for a name that was never measured', () => {
    expect(gpuSensor('NVIDIA B300', 'counter')).toEqual({ gain: { low: -0.05, high: 0.05 } });
    expect(gpuSensor(undefined, 'average')).toEqual({ gain: { low: -0.05, high: 0.05 } });
  });

  it('turns a reading 5.78 % too low into a truth 6.13 % above it, and 1 % more for the meter that said so', () => {
    const { gain } = gpuSensor('NVIDIA A100-PCIE-40GB', 'instant');
    expect(gain.low).toBe(-0.05);
    expect(gain.high).toBeCloseTo(0.0713, 4);
  });

  it('goes down for boards that say too much', () => {
    const { gain } = gpuSensor('NVIDIA GeForce RTX 2060 SUPER', 'counter');
    expect(gain.low).toBeCloseTo(-0.1264, 4);
    expect(gain.high).toBe(0.05);
  });

  it.skipIf(!existsSync(table))('holds every error that was measured on a board of the list (needs shared/reference)', () => {
    let held = 0;
    for (const line of readFileSync(table, 'utf8').trim().split('\n').slice(1)) {
      const [gpu = '', , , , , , , steady = '', energy = ''] = line.split(',');
      if (/K620|K40m|K80|M40|GTX_TITAN_X|TITAN_X_Pascal/.test(gpu)) continue;
      const { gain } = gpuSensor(gpu.replaceAll('_', ' '), 'counter');
      for (const error of [steady, energy].filter((cell) => cell !== '').map(Number)) {
        const truth = 1 / (1 + error / 100) - 1;
        expect(truth, gpu).toBeGreaterThanOrEqual(gain.low - 1e-4);
        expect(truth, gpu).toBeLessThanOrEqual(gain.high + 1e-4);
        held += 1;
      }
    }
    expect(held).toBeGreaterThan(50);
  });
});

describe('the window of a reading', () => {
  it.each([
    ['Tesla V100-SXM2-16GB', 'instant', 0.01],
    ['Tesla T4', 'instant', 0.1],
    ['NVIDIA A100-SXM4-80GB', 'instant', 0.025],
    ['NVIDIA A10G', 'instant', 0.1],
    ['NVIDIA L40S', 'average', 1],
    ['NVIDIA H100 80GB HBM3', 'instant', 0.025],
    ['NVIDIA H100 80GB HBM3', 'average', 1],
    ['NVIDIA GH200 480GB', 'instant', 0.02],
    ['NVIDIA B200', 'average', 1],
  ] as const)('%s, %s: %s s', (name, column, window) => {
    expect(gpuSensor(name, column).averagedOver).toBe(window);
  });

  it('of a power.draw is an average where boards have one, else a moment\'s', () => {
    expect(gpuSensor('NVIDIA H200', 'unspecified').averagedOver).toBe(1);
    expect(gpuSensor('NVIDIA A100-SXM4-40GB', 'unspecified').averagedOver).toBe(0.025);
    expect(gpuSensor('Tesla T4', 'unspecified').averagedOver).toBe(0.1);
  });

  it('is not claimed where nothing is published', () => {
    expect(gpuSensor('NVIDIA B200', 'instant')).toEqual({ gain: { low: -0.05, high: 0.05 } });
    expect(gpuSensor('NVIDIA A100-SXM4-40GB', 'average').averagedOver).toBeUndefined();
    expect(gpuSensor('NVIDIA H100 80GB HBM3', 'counter').averagedOver).toBeUndefined();
  });
});

describe('a generation', () => {
  it.each([
    ['NVIDIA RTX 6000 Ada Generation', 'ada'],
    ['NVIDIA RTX PRO 6000 Blackwell Server Edition', 'blackwell'],
    ['NVIDIA RTX A6000', 'ga10x'],
    ['NVIDIA GB200', 'blackwell'],
    ['NVIDIA A30', 'ga100'],
    ['NVIDIA A800-SXM4-80GB', 'ga100'],
    ['NVIDIA L4', 'ada'],
    ['Quadro RTX 6000', 'turing'],
    ['NVIDIA GeForce RTX 5090', 'blackwell'],
    ['NVIDIA GeForce RTX 4080 SUPER', 'ada'],
    ['NVIDIA TITAN Xp', 'pascal'],
  ] as const)('%s is %s', (name, generation) => {
    expect(gpuGeneration(name)).toBe(generation);
  });

  it('of an unknown name is told by NVML\'s number, Ampere excepted', () => {
    expect(gpuGeneration('NVIDIA PG506-232', 9)).toBe('hopper');
    expect(gpuGeneration('NVIDIA PG506-232', 7)).toBeUndefined();
  });
});
