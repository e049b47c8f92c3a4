import type { Chooser, Chosen } from '../sampler/chooser.js';
import type { Integrator } from '../sampler/integrator.js';
import type { PowerEvent } from '../sources/source.js';
import type { Correlator } from './correlator.js';

/** Readings on their way from the sources to the facts; live and replayed alike. */
export function intake(spans: Integrator, choose: Chooser, facts: Correlator): (event: PowerEvent) => void {
  return (event) => {
    switch (event.kind) {
      case 'break':
        for (const channel of event.channels) spans.break(channel);
        break;
      case 'gauge':
        facts.gauge(event.device, event);
        break;
      case 'reading': {
        const { span, gap, flagged } = spans.accept(event);
        if (span) take(choose.offer(span), facts);
        if (gap && event.channel.use !== 'check' && choose.booked(event.channel)) facts.gap(gap);
        if (flagged) facts.flag(flagged);
        break;
      }
      case 'flagged':
        break;
    }
  };
}

function take({ spans, flagged, checks }: Chosen, facts: Correlator): void {
  for (const span of spans) facts.span(span);
  for (const each of flagged) facts.flag(each);
  for (const { device, channel, from, to, watts } of checks) facts.held(device, `check.power ${channel}`, watts, from, to);
}
