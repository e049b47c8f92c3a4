/**
 * Lines of LiteLLM → the records in them. A sink writes a record per line, or batches as an array; printed for people
 * (LITELLM_PRINT_STANDARD_LOGGING_PAYLOAD) a record takes many lines, and an array of them too:
 *
 *     {"id": "chatcmpl-1", "startTime": 1772600767.0, …}         [
 *     [{"id": "chatcmpl-2", …}, {"id": "chatcmpl-3", …}]             {
 *                                                                       "id": "chatcmpl-4",
 *     20:14:06 - LiteLLM:WARNING: a_file.py:938 - …                 },
 *
 * Records hold prompts and answers: what is no record is forgotten at once.
 */
import { isRecord } from './logs/rust-tracing.js';

export type JsonRecord = Readonly<Record<string, unknown>>;

const MOST_CHARACTERS = 1024 * 1024;
/** How a record begins: by its id, whatever comes first in the sinks' own orders has the times in it. */
const BEGINS = /^\[?\s*\{\s*"(?:id|litellm_call_id)"\s*:/;

export const holdsTimes = (text: string): boolean => /^\s*\[?\s*\{/.test(text) && text.includes('"startTime"') && text.includes('"endTime"');

/** @returns records of the lines so far; 'cut' for one that does not reach its end */
export function litellmRecords(): (text: string) => readonly (JsonRecord | 'cut')[] {
  /** A record that is printed over several lines, up to the brace below its first. */
  let open: { readonly indent: string; readonly lines: string[]; size: number } | undefined;

  function takeOpen(): readonly (JsonRecord | 'cut')[] {
    const text = open?.lines.join('\n') ?? '';
    open = undefined;
    return recordsOf(text.replace(/,\s*$/, ''));
  }

  return (text) => {
    const bare = text.trim();
    const alone = holdsTimes(bare) || BEGINS.test(bare);
    if (alone) return [...(open ? takeOpen() : []), ...recordsOf(bare)];
    if (!open) {
      if (bare === '{') open = { indent: text.slice(0, text.indexOf('{')), lines: [text], size: 1 };
      return [];
    }
    open.size += text.length;
    if (open.size <= MOST_CHARACTERS) open.lines.push(text);
    const ended = text.trimEnd() === `${open.indent}}` || text.trimEnd() === `${open.indent}},`;
    return ended || open.size > MOST_CHARACTERS ? takeOpen() : [];
  };
}

/** What is JSON and tells no times is something else, that a proxy prints as well. */
function recordsOf(text: string): readonly (JsonRecord | 'cut')[] {
  const ends = text.replace(/,$/, '');
  // A line of an array may have one of its brackets.
  const parsed = [ends, ends.replace(/^\[/, ''), ends.replace(/\]$/, '')].map(parse).find((each) => each !== undefined);
  if (parsed === undefined) return holdsTimes(text) || BEGINS.test(text) ? ['cut'] : [];
  return (Array.isArray(parsed) ? parsed : [parsed]).filter(isRecord).filter((record) => 'startTime' in record);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
