/**
 * Where rack PDUs keep their power: facts of their makers' MIBs (PowerNet-MIB, PDU2-MIB, Sentry4-MIB, Sentry3-MIB,
 * EATON-EPDU-MIB, VERTIV-V5-MIB, ENTITY-SENSOR-MIB of RFC 3433). A point's row index begins with the unit of a chain.
 */
import { MICROJOULES } from './meter.js';

export interface PduTable {
  readonly what: 'inlet' | 'outlet' | 'sensor';
  /** Column of active power. */
  readonly watts: string;
  /** Watts of one count. */
  readonly scale: number;
  /** Rows end in a kind of sensor: this one is active power. */
  readonly row?: number;
  /** Rows end in a phase: the row of kind `total` stands for all, or all are added. */
  readonly phases?: { readonly kind: string; readonly total: number };
  /** Only rows whose value in this column is so are powers. */
  readonly only?: { readonly column: string; readonly is: number };
  /** Columns that must have one of these values in a row for its power to count; a column that is not there is no objection. */
  readonly good?: readonly { readonly column: string; readonly values: readonly number[] }[];
  /** Column of the number of decimals in a count. */
  readonly decimals?: string;
  /** Column of RFC 3433's SensorDataScale: 9 is 1, 8 a thousandth, 10 a thousand. */
  readonly dataScale?: string;
  /** What a person calls the row; shown when a point must be chosen. */
  readonly label?: string;
  readonly energy?: { readonly column: string; readonly each: bigint; readonly row?: number };
}

export interface PduVendor {
  readonly name: string;
  /** Its sysObjectID lies below. */
  readonly enterprise: string;
  /** The first number of an index is the unit; the first unit's number is left out of a point's name. */
  readonly firstUnit?: number;
  /** Column of a unit's serial number, by unit. */
  readonly serial?: string;
  /** In this order: the first table of a kind that has rows is used. */
  readonly tables: readonly PduTable[];
}

const APC = '1.3.6.1.4.1.318.1.1.26';
const RARITAN = '1.3.6.1.4.1.13742.6';
const SENTRY4 = '1.3.6.1.4.1.1718.4.1';
const SENTRY3 = '1.3.6.1.4.1.1718.3.2.2.1';
const EATON = '1.3.6.1.4.1.534.6.6.7';
const GEIST = '1.3.6.1.4.1.21239.5.2.3';
const ENTITY_SENSOR = '1.3.6.1.2.1.99.1.1.1';

const TENTH_KILOWATT_HOUR = MICROJOULES.kilowattHours / 10n;
const RARITAN_POWER = 5;
const RARITAN_ENERGY = 8;
/** Below and above thresholds is a power too; −1 is unavailable, 14 failed. */
const RARITAN_MEASURING = [2, 3, 4, 5, 6];

const raritan = (what: 'inlet' | 'outlet', measurements: string, configuration: string): PduTable => ({
  what,
  watts: `${measurements}.4`,
  scale: 1,
  row: RARITAN_POWER,
  decimals: `${configuration}.7`,
  good: [
    { column: `${measurements}.2`, values: [1] },
    { column: `${measurements}.3`, values: RARITAN_MEASURING },
  ],
  energy: { column: `${measurements}.4`, each: MICROJOULES.wattHours, row: RARITAN_ENERGY },
});

export const PDU_VENDORS: readonly PduVendor[] = [
  {
    name: 'apc',
    enterprise: '1.3.6.1.4.1.318',
    serial: `${APC}.2.1.9`,
    tables: [
      // Hundredths of a kilowatt: a step of 10 W.
      { what: 'inlet', watts: `${APC}.4.3.1.5`, scale: 10, energy: { column: `${APC}.4.3.1.9`, each: TENTH_KILOWATT_HOUR } },
      { what: 'outlet', watts: `${APC}.9.4.3.1.7`, scale: 1, energy: { column: `${APC}.9.4.3.1.11`, each: TENTH_KILOWATT_HOUR } },
    ],
  },
  {
    name: 'raritan',
    enterprise: '1.3.6.1.4.1.13742',
    firstUnit: 1,
    serial: `${RARITAN}.3.2.1.1.4`,
    tables: [raritan('inlet', `${RARITAN}.5.2.3.1`, `${RARITAN}.3.3.4.1`), raritan('outlet', `${RARITAN}.5.4.3.1`, `${RARITAN}.3.5.4.1`)],
  },
  {
    name: 'sentry4',
    enterprise: '1.3.6.1.4.1.1718.4',
    firstUnit: 1,
    serial: `${SENTRY4}.2.2.1.4`,
    tables: [
      { what: 'inlet', watts: `${SENTRY4}.3.3.1.3`, scale: 1, energy: { column: `${SENTRY4}.3.3.1.10`, each: TENTH_KILOWATT_HOUR } },
      { what: 'outlet', watts: `${SENTRY4}.8.3.1.7`, scale: 1, energy: { column: `${SENTRY4}.8.3.1.14`, each: MICROJOULES.wattHours } },
    ],
  },
  {
    name: 'sentry3',
    enterprise: '1.3.6.1.4.1.1718.3',
    firstUnit: 1,
    // An infeed is one line of a cord: the infeeds of a three-phase cord add up.
    tables: [{ what: 'inlet', watts: `${SENTRY3}.12`, scale: 1, energy: { column: `${SENTRY3}.16`, each: TENTH_KILOWATT_HOUR } }],
  },
  {
    name: 'eaton',
    enterprise: '1.3.6.1.4.1.534.6.6.7',
    firstUnit: 0,
    serial: `${EATON}.1.2.1.4`,
    tables: [
      { what: 'inlet', watts: `${EATON}.3.5.1.4`, scale: 1, energy: { column: `${EATON}.3.5.1.5`, each: MICROJOULES.wattHours } },
      // Older firmware has no totals, only a row per phase.
      { what: 'inlet', watts: `${EATON}.3.4.1.4`, scale: 1, phases: { kind: `${EATON}.3.4.1.2`, total: 4 }, energy: { column: `${EATON}.3.4.1.5`, each: MICROJOULES.wattHours } },
      { what: 'outlet', watts: `${EATON}.6.5.1.3`, scale: 1, energy: { column: `${EATON}.6.5.1.4`, each: MICROJOULES.wattHours } },
    ],
  },
  {
    name: 'geist',
    enterprise: '1.3.6.1.4.1.21239',
    serial: `${GEIST}.1.1.2`,
    tables: [
      { what: 'inlet', watts: `${GEIST}.1.1.9`, scale: 1, energy: { column: `${GEIST}.1.1.12`, each: MICROJOULES.wattHours } },
      { what: 'outlet', watts: `${GEIST}.6.1.12`, scale: 1 },
    ],
  },
  {
    name: 'entity-sensor',
    enterprise: '1.3.6.1.2.1.99',
    tables: [
      {
        what: 'sensor',
        watts: `${ENTITY_SENSOR}.4`,
        scale: 1,
        only: { column: `${ENTITY_SENSOR}.1`, is: 6 },
        dataScale: `${ENTITY_SENSOR}.2`,
        decimals: `${ENTITY_SENSOR}.3`,
        good: [{ column: `${ENTITY_SENSOR}.5`, values: [1] }],
        label: '1.3.6.1.2.1.47.1.1.1.1.7',
      },
    ],
  },
];
export const PDU_VENDOR_NAMES = PDU_VENDORS.map(({ name }) => name);
