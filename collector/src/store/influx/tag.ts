/**
 * Any text as a tag of the line protocol, and back. A tag can't be empty, hold a line break or end in a backslash: what
 * it can't hold is written as %XX, and so is %. Spaces, commas, equals signs, quotes and Unicode stay what they are.
 *
 *     'GPU 0, rack=7'  →  GPU\ 0\,\ rack\=7      (escaped on the line only; stored as it is)
 *     'a\b\n50%'       →  a%5Cb%0A50%25
 *     ''               →  %
 */
import { escape } from '@influxdata/influxdb-client';

// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const UNWRITABLE = /[%\\\u0000-\u001f\u007f]/g;
const CODE = /%([0-9A-F]{2})/g;
const EMPTY = '%';

/** As stored and as answered by the server. */
export const tagOf = (text: string): string => (text === '' ? EMPTY : text.replace(UNWRITABLE, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`));

export const textOf = (tag: string): string => (tag === EMPTY ? '' : tag.replace(CODE, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16))));

/** As it stands on a line. */
export const onLine = (tag: string): string => escape.tag(tag);
