/** The first page: the last minutes at a glance, rendered here, without a build step or anything from elsewhere. */
import type { Boundary } from '@joulebook/shared/slice.js';
import type { Report, Row } from '../join/report.js';
import { captionOf, count, figure, percent, plusMinus } from '../report/columns.js';
import { demonstrationBanner, flagList, html, Markup, noteList, page, reportTable, STYLE } from '../report/html.js';

export const WINDOWS: Readonly<Record<string, number>> = { '5m': 300, '15m': 900, '1h': 3600, '6h': 21_600, '24h': 86_400, '7d': 604_800 };
export const DEFAULT_WINDOW = '15m';
export const REFRESH_SECONDS = 5;

export interface Glance {
  readonly window: string;
  readonly boundary: Boundary | undefined;
  /** With the boundaries side by side where none was chosen. */
  readonly byPhase: Report;
  readonly byDeployment: Report;
}

/**
 * Replaces the figures in place, so that the form keeps its focus; a failed try says so and goes on. The next try waits
 * for the last one: a slow answer is not asked for twice. A tab that nobody sees asks for nothing.
 */
const SCRIPT = `
const refresh = async () => {
  if (document.hidden) return;
  const stale = document.getElementById('stale');
  try {
    const answer = await fetch(location.href, { cache: 'no-store' });
    if (!answer.ok) throw new Error(answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html').querySelector('main');
    if (fresh) document.querySelector('main').replaceWith(fresh);
    stale.hidden = true;
  } catch { stale.hidden = false; }
};
const later = () => setTimeout(() => refresh().finally(later), ${REFRESH_SECONDS * 1000});
later();
`;

/** Tokens per second of the time observed, so that it divides by watts to tokens per watt-second. */
const rate = ({ tokens, seconds }: Row): number | null => (tokens.output === null || seconds === null || seconds <= 0 ? null : tokens.output / seconds);

function figures({ total }: Report): Markup {
  const entries = [
    ['Power', `${figure(total.watts)} W`],
    ['Output', `${figure(rate(total))} tokens/s`],
    ['Tokens per watt-second', figure(total.tokensPerWattSecond)],
    ['Joules per token', figure(total.joulesPerToken)],
    ['± by the sensors', plusMinus(total)],
    ['Energy', `${figure(total.joules)} J`],
    ['Output tokens', count(total.tokens.output)],
    ['Coverage', percent(total.coverage)],
  ] as const;
  return html`<dl class="figures">${entries.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

const option = (value: string, chosen: boolean, text = value): Markup => html`<option value="${value}"${new Markup(chosen ? ' selected' : '')}>${text}</option>`;

function chooser(window: string, boundary: Boundary | undefined, boundaries: readonly Boundary[]): Markup {
  return html`<form method="get"><label>Last <select name="window">${Object.keys(WINDOWS).map((each) => option(each, each === window))}</select></label>
<label>Boundary <select name="boundary">${option('', boundary === undefined, 'narrowest measured')}${boundaries.map((each) => option(each, each === boundary))}</select></label><button>Show</button></form>`;
}

function frame(nonce: string, head: Markup, main: Markup): string {
  const style = html`<style nonce="${nonce}">${new Markup(STYLE)}</style><noscript><meta http-equiv="refresh" content="${REFRESH_SECONDS}"></noscript>`;
  const body = html`<header><h1>Joulebook</h1><nav><a href="/compare">Compare</a></nav>${head}<p id="stale" role="status" hidden>The collector does not answer; these figures are old.</p></header>
<main>${main}</main><script nonce="${nonce}">${new Markup(SCRIPT)}</script>`;
  return page('Joulebook', style, body);
}

export function glancePage(glance: Glance, nonce: string): string {
  const { byPhase, byDeployment, window, boundary } = glance;
  const main = html`${demonstrationBanner(byPhase)}<p>${captionOf(byPhase)}</p>${figures(byPhase)}
${reportTable(byPhase, 'Phases')}${reportTable(byDeployment, 'Deployments')}${noteList(byPhase)}${flagList(byPhase, byDeployment)}`;
  return frame(nonce, chooser(window, boundary, byPhase.boundaries), main);
}

/** @param newest when the newest fact was, if there is any */
export function emptyPage(nonce: string, window: string, origin: string, newest: string | null): string {
  const why = newest === null ? html`<h2>No facts yet</h2><p>This collector is running and nothing has been sent to it.</p>` : html`<h2>No facts in the last ${window}</h2><p>The newest fact is of ${newest}. Is the agent still running, and is its clock right?</p>`;
  const main = html`${why}
<p>On the machine with the GPUs, point an agent here: <code>JOULEBOOK_COLLECTOR_URL=${origin} npx joulebook-agent run</code></p>
<p>To see why it measures nothing: <code>npx joulebook-agent doctor</code></p>
<p>To look at a recording instead: <code>npx joulebook-agent replay DIR --collector ${origin}</code></p>`;
  return frame(nonce, newest === null ? html`` : chooser(window, undefined, []), main);
}
