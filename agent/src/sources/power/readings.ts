/**
 * Readings as `record` keeps them, one JSON object per line. A channel is described once, before its first reading, and
 * called by its number from then on:
 *
 *     {"channel":{"n":0,"id":"nvml/GPU-…/energy","device":"GPU-…","boundary":"gpu","source":"nvml","measures":"counter","sensor":{…}}}
 *     {"n":0,"at":1790000000.123,"total":"123456789000"}          counter, µJ
 *     {"n":1,"at":1790000000.123,"watts":412.5}
 *     {"break":[0,1],"at":1790000001,"reason":"…"}
 *     {"gauge":"gpu.temperature","device":"GPU-…","value":61,"at":1790000000.123}
 */
import { messageOf } from '@joulebook/shared/errors.js';
import { BOUNDARIES } from '@joulebook/shared/slice.js';
import { instant, seconds, watts } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { lineTally } from '../line-tally.js';
import { powerFormat, type RecordedPowerEntry } from '../recorded.js';
import type { Channel, PowerEvent } from '../source.js';
import { textLines } from '../text-lines.js';

const NAME = 'readings';
const at = z.number().transform(instant);
const time = z.number().transform(seconds);
const whole = z.string().regex(/^\d+$/).transform(BigInt);
const channelLine = z.strictObject({
  channel: z.strictObject({
    n: z.int().min(0),
    id: z.string(),
    device: z.string(),
    index: z.int().exactOptional(),
    boundary: z.enum(BOUNDARIES),
    source: z.string(),
    measures: z.enum(['counter', 'power']),
    period: time.exactOptional(),
    sensor: z.strictObject({ gain: z.strictObject({ low: z.number(), high: z.number() }), averagedOver: time.exactOptional(), refresh: time.exactOptional(), delay: time.exactOptional() }),
    use: z.literal('check').exactOptional(),
    contains: z.array(z.string()).exactOptional(),
  }),
});
const line = z.union([
  channelLine,
  z.strictObject({ n: z.int(), at, watts: z.number().transform(watts) }),
  z.strictObject({ n: z.int(), at, total: whole, wrapsAt: whole.exactOptional() }),
  z.strictObject({ break: z.array(z.int()), at, reason: z.string() }),
  z.strictObject({ gauge: z.string(), device: z.string(), value: z.number(), at }),
  z.strictObject({ flagged: z.string(), detail: z.string(), count: z.int(), device: z.string().exactOptional() }),
]);

export const readings = powerFormat({
  name: NAME,
  summary: 'what `joulebook-agent record` keeps of the sensors',
  options: {},
  open: (entry) => ({ description: `${entry.file.label} (${NAME})`, events: () => events(entry) }),
});

async function* events({ file }: RecordedPowerEntry): AsyncGenerator<PowerEvent, void> {
  const channels = new Map<number, Channel>();
  const tally = lineTally(file.label);
  for await (const { number, text } of textLines(file)) {
    if (text.trim() === '') continue;
    const parsed = parse(text);
    if (typeof parsed === 'string') {
      tally.skip(number, parsed);
      continue;
    }
    tally.used();
    if ('channel' in parsed) {
      const { n, ...channel } = parsed.channel;
      channels.set(n, channel);
    } else if ('gauge' in parsed) yield { kind: 'gauge', ...parsed };
    else if ('flagged' in parsed) {
      const { flagged: code, ...rest } = parsed;
      yield { kind: 'flagged', code, ...rest };
    } else if ('break' in parsed) yield { kind: 'break', channels: parsed.break.flatMap((n) => channels.get(n) ?? []), at: parsed.at, reason: parsed.reason };
    else {
      const channel = channels.get(parsed.n);
      if (!channel) tally.skip(number, 'of a channel that was not described');
      else if ('watts' in parsed) yield { kind: 'reading', channel, at: parsed.at, measures: 'power', power: parsed.watts };
      else yield { kind: 'reading', channel, at: parsed.at, measures: 'counter', total: parsed.total, ...(parsed.wrapsAt !== undefined && { wrapsAt: parsed.wrapsAt }) };
    }
  }
  tally.judge(NAME);
  yield* tally.flagged();
}

function parse(text: string): z.output<typeof line> | string {
  try {
    const result = line.safeParse(JSON.parse(text));
    return result.success ? result.data : 'not a line of this format';
  } catch (error) {
    return `no JSON (${messageOf(error).slice(0, 60)})`;
  }
}

/** Events → lines of this format. */
export function readingLines(): (event: PowerEvent) => string {
  const numbers = new Map<string, number>();
  const numberOf = (channel: Channel): number => numbers.get(channel.id) ?? -1;
  return (event) => {
    const lines: object[] = [];
    switch (event.kind) {
      case 'reading': {
        if (!numbers.has(event.channel.id)) {
          numbers.set(event.channel.id, numbers.size);
          lines.push({ channel: { n: numberOf(event.channel), ...event.channel } });
        }
        const n = numberOf(event.channel);
        lines.push(event.measures === 'power' ? { n, at: event.at, watts: event.power } : { n, at: event.at, total: String(event.total), ...(event.wrapsAt !== undefined && { wrapsAt: String(event.wrapsAt) }) });
        break;
      }
      case 'break':
        lines.push({ break: event.channels.map(numberOf).filter((n) => n >= 0), at: event.at, reason: event.reason });
        break;
      case 'gauge':
        lines.push({ gauge: event.gauge, device: event.device, value: event.value, at: event.at });
        break;
      case 'flagged':
        lines.push({ flagged: event.code, detail: event.detail, count: event.count, ...(event.device !== undefined && { device: event.device }) });
        break;
    }
    return lines.map((each) => `${JSON.stringify(each)}\n`).join('');
  };
}
