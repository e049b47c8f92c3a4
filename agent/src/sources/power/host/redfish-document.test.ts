import { describe, expect, it } from 'vitest';
import { isTotalName, powerOf, sensorFacts } from './redfish-document.js';

const said = (document: object, path?: string): unknown => {
  const power = powerOf(document, path);
  return 'watts' in power ? [power.what, power.watts] : power.nothing;
};
const supplies = (...list: object[]): object => ({ PowerControl: [], PowerSupplies: list });
const control = (...entries: object[]): object => ({ PowerControl: entries });

describe('numbers', () => {
  it.each([
    [374, 374],
    ['374.5', 374.5],
    [null, undefined],
    ['nan', undefined],
    [0, 0],
    ['many', { fault: 'is not a number' }],
  ])('reads %o as %o', (reading, watts) => {
    expect(said({ PowerWatts: { Reading: reading } })).toEqual(['PowerWatts', watts]);
  });
});

describe('the old schema', () => {
  it('adds up controls, without those that are parts of the server', () => {
    expect(said(control({ PowerConsumedWatts: 200 }, { PowerConsumedWatts: '100' }))).toEqual(['PowerConsumedWatts', 300]);
    expect(said(control({ Name: 'Server Power Control', PowerConsumedWatts: 344 }, { Name: 'CPU Sub-system Power', PowerConsumedWatts: 77 }, { Name: 'x', PhysicalContext: 'GPU', PowerConsumedWatts: 1 }))).toEqual(['PowerConsumedWatts', 344]);
  });

  it('knows no sum where one of the controls says nothing', () => {
    expect(said(control({ PowerConsumedWatts: 200 }, { PowerConsumedWatts: null }))).toEqual(['PowerConsumedWatts', undefined]);
  });

  it('takes an average only with the time it is over', () => {
    const power = powerOf(control({ PowerMetrics: { AverageConsumedWatts: 148, IntervalInMin: 0.083333333333333 } }));
    expect(power).toMatchObject({ what: 'AverageConsumedWatts', watts: 148, facts: { averagedOver: 5 } });
    expect(said(control({ PowerMetrics: { AverageConsumedWatts: 148 } }))).toBe('Power without a reading of what is consumed');
  });

  it("believes a supply's input only where its output makes it possible", () => {
    expect(said(supplies({ PowerInputWatts: 158, PowerOutputWatts: 144 }, { PowerInputWatts: 12, LastPowerOutputWatts: 0 }))).toEqual(['PowerInputWatts', 170]);
    expect(said(supplies({ PowerInputWatts: 900, PowerOutputWatts: 203 }))).toBe('Power without a reading of what is consumed');
    expect(said(supplies({ PowerInputWatts: 900, LastPowerOutputWatts: null }))).toBe('Power without a reading of what is consumed');
    expect(said(supplies({ PowerInputWatts: 158, PowerOutputWatts: 144 }, { PowerInputWatts: 900, PowerOutputWatts: 203 }))).toBe('Power without a reading of what is consumed');
  });
});

describe('GPUs', () => {
  const path = '/redfish/v1/Systems/HGX_Baseboard_0/Processors/GPU_SXM_1/EnvironmentMetrics';
  it('take the reading beside their limit for their power; a chassis does not', () => {
    const document = { PowerLimitWatts: { Reading: 64.388, SetPoint: 700 } };
    expect(said(document, path)).toEqual(['PowerLimitWatts', 64.388]);
    expect(said(document, '/redfish/v1/Chassis/1/EnvironmentMetrics')).toBe('EnvironmentMetrics without PowerWatts');
    expect(said({ ...document, PowerWatts: { Reading: 70 } }, path)).toEqual(['PowerWatts', 70]);
  });
});

describe('sensors', () => {
  it('are totals by their names', () => {
    expect(['TotalPower', 'Total_Power', 'total_power', 'SystemBoardPwrConsumption', 'SysInputPower', 'ChassisPower'].filter((name) => !isTotalName(name))).toEqual([]);
    expect(['PS1InputPower', 'TotalGPUPower', 'CPUTotalPower', 'Total_Power_Limit', 'HGX_Chassis_0_TotalHSC_Power_0', 'MemoryPower', 'FanPower', 'SystemPowerCap', 'TotalEnergy', 'MaxSystemPower'].filter(isTotalName)).toEqual([]);
  });

  it('say how often and how well they measure', () => {
    expect(sensorFacts({ SensingInterval: 'PT0.25S', AveragingInterval: 'PT1M30S', Accuracy: 1 })).toEqual({ refresh: 0.25, averagedOver: 90, gain: { low: -0.01, high: 0.01 } });
    expect(sensorFacts({ SensingInterval: 'soon', Accuracy: 0 })).toEqual({});
  });
});
