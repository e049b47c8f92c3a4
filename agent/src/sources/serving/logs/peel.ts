/**
 * A line of an engine, without what others put around it. Containers, journald, launchers and schedulers nest in any order,
 * so every wrapper is looked for again until none is left:
 *
 *   2026-05-12T08:01:39.331095044Z stdout F vllm-1  | (EngineCore_DP0 pid=437) ␛[32mINFO␛[0m 05-12 08:01:39 [core.py:407] …
 *   └────────── wrapper ─────────┘          └ writer┘  └──── writer ─────────┘ └──────────────── text ────────────────────
 *
 * A stamp in front is a wrapper's only where the engine itself can't have written it: Rust programs (TGI, Dynamo) begin
 * their own lines with `2025-09-02T15:50:01.770028Z  INFO …`, and those stay whole.
 */
import { z } from 'zod';
import type { Stamp } from './dialect.js';

export interface WrapperStamp {
  readonly stamp: Stamp;
  /** Whole seconds, no zone, or the time of shipping: a stamp of the line itself is nearer to the truth. */
  readonly rough: boolean;
}

export interface Peeled {
  readonly text: string;
  readonly wrapper?: WrapperStamp;
  /** Everything that tells one writer from another, outermost first: `vllm-1/EngineCore_DP0 pid=437`. */
  readonly writer?: string;
  /** A container runtime cut a long line here: the next piece of the same stream goes on where this ends. */
  readonly partial?: true;
}

interface Layer {
  readonly rest: string;
  readonly wrapper?: WrapperStamp;
  readonly writer?: string | undefined;
  readonly partial?: true;
}

type Peel = (text: string) => Layer | undefined;

/** Real ones nest four deep. */
const DEEPEST = 12;

export function peel(raw: string): Peeled {
  let text = plain(raw);
  let wrapper: WrapperStamp | undefined;
  let partial = false;
  const writers: string[] = [];
  for (let depth = 0; depth < DEEPEST; depth += 1) {
    const layer = outermost(text);
    if (!layer) break;
    text = layer.rest;
    // The innermost is nearest to the writer, but an exact one is not given up for a rough one.
    if (layer.wrapper && (wrapper === undefined || wrapper.rough || !layer.wrapper.rough)) wrapper = layer.wrapper;
    if (layer.writer !== undefined && layer.writer !== '') writers.push(layer.writer);
    partial ||= layer.partial ?? false;
  }
  return { text, ...(wrapper && { wrapper }), ...(writers.length > 0 && { writer: writers.join('/') }), ...(partial && { partial }) };
}

function outermost(text: string): Layer | undefined {
  for (const layer of layersOf(text.charAt(0))) {
    const found = layer(text);
    if (found) return found;
  }
  return undefined;
}

/** An escape sequence, as itself or in the spellings of rsyslog, `cat -v` and JSON; and titles that programs give a terminal. */
const ESC = '\u001b';
const BELL = '\u0007';
const ESCAPES = new RegExp(String.raw`${ESC}\[[0-?]*[ -/]*[@-~]|${ESC}\][^${BELL}${ESC}]*(?:${BELL}|${ESC}\\)|(?:#033|\^\[|\\u001b|\\x1b|\\033)\[[0-9;]*[mK]`, 'gi');
/** What an escape sequence, in any spelling, has in it. Four plain searches are several times faster than one for a class. */
const MARKS = [ESC, '#', '^', '\\'] as const;

/** Colours are gone, and of a line that was painted over (progress bars) what was painted last is left. */
function plain(raw: string): string {
  let end = raw.length;
  while (raw.charAt(end - 1) === '\r') end -= 1;
  const coloured = raw.slice(raw.startsWith('\uFEFF') ? 1 : 0, end);
  const text = MARKS.some((mark) => coloured.includes(mark)) ? coloured.replace(ESCAPES, '') : coloured;
  return text.includes('\r') ? (text.split('\r').findLast((piece) => piece.trim() !== '') ?? '') : text;
}

const ISO = String.raw`(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d(?:[.,]\d+)?)(Z|[+-]\d\d:?\d\d)`;

function isoStamp([year, month, day, hour, minute, second = '', offset]: readonly (string | undefined)[]): Stamp {
  return { year: Number(year), month: Number(month), day: Number(day), hour: Number(hour), minute: Number(minute), second: Number(second.replace(',', '.')), zone: zoneOf(offset) };
}

function zoneOf(offset: string | undefined): Stamp['zone'] {
  if (offset === undefined) return undefined;
  if (offset === 'Z') return 'utc';
  const minutes = Number(offset.slice(1, 3)) * 60 + Number(offset.slice(-2));
  return offset.startsWith('-') ? -minutes : minutes;
}

const fractionDigits = (second: string | undefined): number => (second === undefined ? 0 : second.length - 3);

/** Docker's file on disk: `{"log":"…\n","stream":"stderr","time":"…Z"}`. */
const jsonFileRecord = z.object({ log: z.string(), time: z.string() });
const JSON_FILE_TIME = new RegExp(`^${ISO}$`);

const jsonFile: Peel = (text) => {
  if (!text.startsWith('{"log":"')) return undefined;
  const record = jsonFileRecord.safeParse(parsed(text));
  const time = record.success ? JSON_FILE_TIME.exec(record.data.time) : null;
  if (!record.success || !time) return undefined;
  const { log } = record.data;
  return { rest: plain(log.replace(/\n$/, '')), wrapper: { stamp: isoStamp(time.slice(1)), rough: false }, ...(!log.endsWith('\n') && { partial: true }) };
};

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Docker, Kubernetes (`… stdout F `, P for a part of a long line), an export of CloudWatch (three spaces, time of shipping). */
const CONTAINER = new RegExp(`^${ISO}( +)(?:std(?:out|err) ([PF])\\S* )?`);
/** How Rust programs go on after a stamp of their own. A level before a digit or a colon is of a line inside a wrapper. */
const OWN_STAMP = /^ *(?:TRACE|DEBUG|INFO|WARN|ERROR) +[^\s\d]/;

const container: Peel = (text) => {
  const match = CONTAINER.exec(text);
  if (!match) return undefined;
  const [header, , , , , , second, , spaces = '', tag] = match;
  const rest = text.slice(header.length);
  const digits = fractionDigits(second);
  // Nobody but a container runtime writes nanoseconds.
  if (tag === undefined && digits < 7 && OWN_STAMP.test(rest)) return undefined;
  return { rest, wrapper: { stamp: isoStamp(match.slice(1)), rough: digits === 0 || (tag === undefined && spaces.length > 1) }, ...(tag === 'P' && { partial: true }) };
};

/** `journalctl -o short-iso-precise`, and rsyslog's own ISO form: `2026-11-22T10:00:00.123456+0100 host vllm[1356]: `. */
const JOURNAL_ISO = new RegExp(`^${ISO} \\S+ ([^\\s\\[]*)\\[\\d+\\]: ?`);

const journalIso: Peel = (text) => {
  const match = JOURNAL_ISO.exec(text);
  return match ? { rest: text.slice(match[0].length), wrapper: { stamp: isoStamp(match.slice(1)), rough: fractionDigits(match[6]) === 0 }, writer: match[8] } : undefined;
};

/** `Apr 11 19:21:34 host vllm[1356]: `; host, ident or both may be missing. */
const SYSLOG = /^(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +(\d{1,2}) (\d\d):(\d\d):(\d\d(?:\.\d+)?) (?:\S* )??(\S*?)(?:\[\d+\])?:(?: |$)/;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

const syslog: Peel = (text) => {
  const match = SYSLOG.exec(text);
  if (!match) return undefined;
  const [header, month = '', day, hour, minute, second, ident] = match;
  const stamp = { month: MONTHS.indexOf(month) + 1, day: Number(day), hour: Number(hour), minute: Number(minute), second: Number(second) };
  return { rest: text.slice(header.length), wrapper: { stamp, rough: true }, writer: ident?.replace(/:$/, '') };
};

/** Launchers that log what their tasks print: `2026-05-12 08:01:39,331 - sflow.task.decode_0 - INFO - `. LMDeploy's own lines look alike. */
const LAUNCHER = /^(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d,\d{3}) - ((?:\S+\.)?task\.\S+|sflow\S*) - [A-Z]+ - /;

const launcher: Peel = (text) => {
  const match = LAUNCHER.exec(text);
  return match ? { rest: text.slice(match[0].length), wrapper: { stamp: isoStamp(match.slice(1, 7)), rough: true }, writer: match[7]?.replace(/^.*task\./, '') } : undefined;
};

/** Ray and SkyPilot `(head, rank=0, pid=18260) `, `(RayWorkerVllm pid=309, ip=10.0.0.2) `, vLLM's processes `(APIServer pid=1) `. */
const PROCESS = /^\(([^()]*\bpid=\d+[^()]*)\) ?/;

const processName: Peel = (text) => {
  const match = PROCESS.exec(text);
  return match ? { rest: text.slice(match[0].length), writer: match[1]?.replace(/,? *ip=[^,]*/, '') } : undefined;
};

const named = (shape: RegExp): Peel => (text) => {
  const match = shape.exec(text);
  return match ? { rest: text.slice(match[0].length), writer: match[1] } : undefined;
};

/** docker compose: `svc-1  | `. */
const compose = named(/^([A-Za-z0-9][\w.-]*) +\|(?: |$)/);
/** srun --label, mpirun: `0: `. */
const srun = named(/^ ?(\d{1,5}): /);
/** mpirun --tag-output: `[1,0]<stdout>:`. */
const mpirun = named(/^\[([\w@.,-]+)\]<std(?:out|err)>: ?/);
/** The router of llama.cpp marks lines of its servers with their port: `[53409] `. */
const port = named(/^\[(\d{4,5})\] /);

/** A bar that was not ended by a line end: `Capturing batches:  50%|███  | 5/10 [00:01<00:01,  4.9it/s]` and then the line. */
const PROGRESS = /^[^|]{0,200}?\d{1,3}%\|[^|]*\|[^[|]{0,80}\[[^\]]*\]/;

const progress: Peel = (text) => {
  const match = text.includes('%|') ? PROGRESS.exec(text) : null;
  const rest = match ? text.slice(match[0].length) : '';
  return rest.trim() === '' ? undefined : { rest };
};

/** Asked of every line: only what may begin so is tried. */
function layersOf(first: string): readonly Peel[] {
  if (first === '(') return PROCESSES;
  if (first === '[') return BRACKETS;
  if (first === '{') return OBJECTS;
  return first === ' ' || (first >= '0' && first <= '9') ? NUMBERS : WORDS;
}

const NUMBERS: readonly Peel[] = [journalIso, container, launcher, srun, compose, progress];
const WORDS: readonly Peel[] = [syslog, compose, progress];
const PROCESSES: readonly Peel[] = [processName, progress];
const BRACKETS: readonly Peel[] = [mpirun, port, progress];
const OBJECTS: readonly Peel[] = [jsonFile];
