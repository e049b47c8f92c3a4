/** Where two JSON values differ, by path: `rows.3.joules: 12.5 in the bundle, 12.4 anew`. */

/** One changed fact changes most figures: a few of each file are enough. */
const MOST = 6;

const shownOf = (value: unknown): string => {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
};

const entriesOf = (value: unknown): Map<string, unknown> | undefined => (typeof value === 'object' && value !== null ? new Map(Object.entries(value)) : undefined);

function walk(shown: unknown, anew: unknown, isAll: boolean, path: readonly string[], found: string[]): void {
  const [left, right] = [entriesOf(shown), entriesOf(anew)];
  if (!left || !right || Array.isArray(shown) !== Array.isArray(anew)) {
    if (JSON.stringify(shown) !== JSON.stringify(anew)) found.push(`${path.join('.')}: ${shownOf(shown)} in the bundle, ${shownOf(anew)} anew`);
    return;
  }
  for (const name of isAll || Array.isArray(shown) ? new Set([...left.keys(), ...right.keys()]) : left.keys()) {
    if (found.length >= MOST) return;
    walk(left.get(name), right.get(name), isAll, [...path, name], found);
  }
}

/** @param isAll whether what only the second has is a difference too */
export function differences(shown: unknown, anew: unknown, isAll: boolean): string[] {
  const found: string[] = [];
  walk(shown, anew, isAll, [], found);
  return found;
}
