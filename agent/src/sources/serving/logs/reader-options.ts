/** A log is configured in one place: options of the reader (file, zone, year) beside those of the dialect. Each has its own schema. */
import { z } from 'zod';
import { checkOptions } from '../../recorded.js';

interface Checked<Reader extends z.ZodRawShape, Own extends z.ZodRawShape> {
  readonly reader: z.output<z.ZodObject<Reader, z.core.$strict>>;
  readonly own: z.output<z.ZodObject<Own, z.core.$strict>>;
}

/** @throws UsageError with every fault of both */
export function readerOptions<Reader extends z.ZodRawShape, Own extends z.ZodRawShape>(reader: Reader, own: Own, given: unknown, where: string): Checked<Reader, Own> {
  checkOptions(z.strictObject({ ...reader, ...own }), given, where);
  const all = z.record(z.string(), z.unknown()).parse(given ?? {});
  const of = (shape: z.ZodRawShape): Record<string, unknown> => Object.fromEntries(Object.entries(all).filter(([key]) => Object.hasOwn(shape, key)));
  return { reader: checkOptions(z.strictObject(reader), of(reader), where), own: checkOptions(z.strictObject(own), of(own), where) };
}
