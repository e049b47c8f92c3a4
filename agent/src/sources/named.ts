import { UsageError } from '@joulebook/shared/errors.js';
import { nearest } from '@joulebook/shared/settings.js';

/**
 * The one of a list that a configuration calls by its name.
 * @param what what the list is of, for the message: `format` or `source`
 * @throws UsageError naming the nearest and all that are known
 */
export function named<N extends { readonly name: string }>(what: string, list: readonly N[], name: string): N {
  const found = list.find((each) => each.name === name);
  if (found) return found;
  const names = list.map((each) => each.name);
  const guess = nearest(name, names);
  throw new UsageError([`${what} '${name}' is unknown${guess ? `; did you mean '${guess}'?` : '.'} Known are ${names.join(', ')}.`]);
}
