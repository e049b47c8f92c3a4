/** Which facts an entry of the book is about: each key is a dimension or a label; any of its values will do. */
import { z } from 'zod';

const name = z.string().min(1);
const oneOrMore = z.union([name.transform((text) => [text]), z.array(name).min(1)]);

export const where = z.record(name, oneOrMore).default({});
export type Where = Readonly<Record<string, readonly string[]>>;
