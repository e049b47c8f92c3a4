/** Where two texts differ; of JSON by path: `rows.3.joules: 12.5 in the bundle, 12.4 anew`. */

/** One changed fact changes most figures: a few of each file are enough. */
const MOST = 6;
const SHOWN = 80;

const shownOf = (value: unknown): string => {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
};

const entriesOf = (value: unknown): Map<string, unknown> | undefined => (typeof value === 'object' && value !== null ? new Map(Object.entries(value)) : undefined);

function walk(shown: unknown, anew: unknown, path: readonly string[], found: string[]): void {
  const [left, right] = [entriesOf(shown), entriesOf(anew)];
  if (!left || !right || Array.isArray(shown) !== Array.isArray(anew)) {
    if (JSON.stringify(shown) !== JSON.stringify(anew)) found.push(`${path.join('.') || 'all of it'}: ${shownOf(shown)} in the bundle, ${shownOf(anew)} anew`);
    return;
  }
  for (const name of new Set([...left.keys(), ...right.keys()])) {
    if (found.length >= MOST) return;
    walk(left.get(name), right.get(name), [...path, name], found);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The first place; the same values may be written in two ways. */
function byLetter(shown: string, anew: string): string {
  let at = 0;
  while (at < anew.length && shown[at] === anew[at]) at += 1;
  return `line ${anew.slice(0, at).split('\n').length}: ${shownOf(shown.slice(at, at + SHOWN))} in the bundle, ${shownOf(anew.slice(at, at + SHOWN))} anew`;
}

/** @returns at least one; call it with texts that differ */
export function differences(shown: string, anew: string): string[] {
  const found: string[] = [];
  walk(parsed(shown), parsed(anew), [], found);
  return found.length > 0 ? found : [byLetter(shown, anew)];
}
