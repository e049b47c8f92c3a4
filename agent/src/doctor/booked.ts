import { seconds, type Seconds } from '@joulebook/shared/units.js';
import { chooser } from '../sampler/chooser.js';
import { integrator } from '../sampler/integrator.js';
import type { Channel } from '../sources/source.js';
import type { Heard } from './sources.js';

/** The ids of the channels that the agent would book energy from: what was heard, through the very choice of `run`. */
export function booksFrom(heard: readonly Heard[], preference: readonly string[]): ReadonlySet<string> {
  const periods = new Map(heard.map(({ channel, period }) => [channel.id, period]));
  const periodOf = ({ id, period }: Channel): Seconds => period ?? periods.get(id) ?? seconds(1);
  const spans = integrator(periodOf);
  const choose = chooser(preference, periodOf);
  const readings = heard.flatMap((each) => each.readings).toSorted((a, b) => a.at - b.at);
  for (const reading of readings) {
    const { span } = spans.accept(reading);
    if (span) choose.offer(span);
  }
  return new Set(heard.filter(({ channel }) => channel.use !== 'check' && choose.booked(channel)).map(({ channel }) => channel.id));
}
