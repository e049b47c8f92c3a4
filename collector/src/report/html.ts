/** Html without a template engine: everything that is not markup is escaped, by construction. */
import type { Report } from '../join/report.js';
import { captionOf, columnsOf, flagLines } from './columns.js';
import { noteLines } from './notes.js';

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
export const escapeHtml = (text: string): string => text.replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? character);

/** Markup that is safe to show. Only this file and its `html` tag make it. */
export class Markup {
  readonly #text: string;
  constructor(text: string) {
    this.#text = text;
  }
  toString(): string {
    return this.#text;
  }
}

type Value = string | number | Markup | readonly Markup[];
const render = (value: Value): string => (value instanceof Markup ? value.toString() : typeof value === 'object' ? value.map(String).join('') : escapeHtml(String(value)));

/** html`<td>${anything}</td>`: text is escaped, markup is not. */
export const html = (parts: TemplateStringsArray, ...values: readonly Value[]): Markup => new Markup(parts.reduce((text, part, index) => `${text}${render(values[index - 1] ?? '')}${part}`));

export function reportTable(report: Report, caption: string): Markup {
  const columns = columnsOf(report);
  return html`<table><caption>${caption}</caption><thead><tr>${columns.map(({ head, numeric }) => html`<th scope="col" class="${numeric ? 'number' : 'name'}">${head}</th>`)}</tr></thead>
<tbody>${report.rows.map((row) => html`<tr>${columns.map(({ numeric, cell }) => html`<td class="${numeric ? 'number' : 'name'}">${cell(row)}</td>`)}</tr>`)}</tbody></table>`;
}

export const noteList = (report: Report): Markup => {
  const notes = noteLines(report);
  return notes.length === 0 ? html`` : html`<section aria-label="How it was measured"><h2>How it was measured</h2><ul>${notes.map((line) => html`<li>${line}</li>`)}</ul></section>`;
};

/** Reports of the same facts: what several of them say stands once. */
export const flagList = (...reports: readonly Report[]): Markup => {
  const lines = [...new Set(reports.flatMap(flagLines))];
  return lines.length === 0 ? html`` : html`<section aria-label="Reservations"><h2>Reservations</h2><ul>${lines.map((line) => html`<li>${line}</li>`)}</ul></section>`;
};

const BANNERS = { SIMULATED: 'Simulated data — made up by a model, measured nowhere', DEMONSTRATION: 'Demonstration data — not measured on this machine' } as const;
/** What nobody may overlook: that the figures are of no machine, or of another one. */
export function demonstrationBanner({ flags }: Report): Markup {
  const code = (['SIMULATED', 'DEMONSTRATION'] as const).find((each) => flags.some((flag) => flag.code === each));
  return code === undefined ? html`` : html`<p class="demonstration" role="note">${BANNERS[code]}</p>`;
}

export const STYLE = `
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 76rem; padding: 1rem; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
caption { text-align: left; font-weight: 600; padding: .25rem 0; }
th, td { border-bottom: 1px solid #8886; padding: .3rem .7rem; text-align: left; white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.demonstration { background: #b45309; color: #fff; font-weight: 700; padding: .6rem 1rem; border-radius: .3rem; }
dl.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .75rem; margin: 1rem 0; }
dl.figures div { border: 1px solid #8886; border-radius: .3rem; padding: .5rem .75rem; }
dt { font-size: .875rem; } dd { margin: 0; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
form { display: flex; gap: 1rem; flex-wrap: wrap; align-items: end; } code { background: #8883; padding: .1rem .3rem; }
`;

/** A whole page; `head` may add to it. */
export const page = (title: string, style: Markup, body: Markup): string => String(html`${new Markup('<!doctype html>')}
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${title}</title>${style}</head>
<body>${body}</body></html>
`);

/** @param sections after the table */
export const renderHtml = (report: Report, sections: readonly Markup[]): string =>
  page('Joulebook report', new Markup(`<style>${STYLE}</style>`), html`<main><h1>Joulebook report</h1>${demonstrationBanner(report)}${reportTable(report, captionOf(report))}${sections}${noteList(report)}${flagList(report)}</main>`);
