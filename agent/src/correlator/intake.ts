import type { Integrator } from '../sampler/integrator.js';
import type { PowerEvent } from '../sources/source.js';
import type { Correlator } from './correlator.js';

/** One power event on its way from a source to the facts; live and replayed alike. */
export function integrate(event: PowerEvent, facts: Correlator, spans: Integrator): void {
  switch (event.kind) {
    case 'break':
      for (const channel of event.channels) spans.break(channel);
      break;
    case 'gauge':
      facts.gauge(event.device, event);
      break;
    case 'reading': {
      const { span, gap, flagged } = spans.accept(event);
      if (span) facts.span(span);
      if (gap) facts.gap(gap);
      if (flagged) facts.flag(flagged);
      break;
    }
    case 'flagged':
      break;
  }
}
