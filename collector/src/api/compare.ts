/** `GET /v1/compare`: the comparison as JSON; `/compare`: the same as a page, with a form to ask and a picture. */
import { randomBytes } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { UsageError } from '@joulebook/shared/errors.js';
import type { Book } from '../book/book.js';
import { compare } from '../compare/compare.js';
import { METRICS, PER, DEFAULT_METRIC } from '../compare/metrics.js';
import { parseCompare } from '../compare/question.js';
import { comparisonBody, PAGE_STYLE } from '../compare/render.js';
import { html, Markup, page } from '../report/html.js';
import type { Defaults, Said } from '../report/request.js';
import type { Store } from '../store/store.js';
import { contentSecurity, saidOf } from './api.js';

const READ = { config: { needs: 'read' } } as const;

interface Field {
  readonly name: string;
  readonly label: string;
  readonly hint: string;
}
const FIELDS: readonly Field[] = [
  { name: 'a', label: 'A', hint: 'quantization=fp16' }, { name: 'b', label: 'B', hint: 'quantization=int8' }, { name: 'where', label: 'Of both', hint: 'deployment=chat' },
  { name: 'a-from', label: 'A from', hint: '2026-03-01T00:00Z' }, { name: 'a-to', label: 'A to', hint: '2026-03-08T00:00Z' }, { name: 'b-from', label: 'B from', hint: '2026-03-08T02:00Z' }, { name: 'b-to', label: 'B to', hint: '2026-03-15T00:00Z' },
  { name: 'slo', label: 'Targets', hint: 'ttft=2s,tpot=50ms' },
];

const options = (values: readonly string[], chosen: readonly string[]): Markup[] => values.map((value) => html`<option${new Markup(chosen.includes(value) ? ' selected' : '')}>${value}</option>`);

/** What was not filled in is not asked. */
const filled = (said: Said): Said => Object.fromEntries(Object.entries(said).map(([name, texts]) => [name, texts.filter((text) => text.trim() !== '')] as const).filter(([, texts]) => texts.length > 0));

function form(said: Said): Markup {
  const value = (name: string): string => (said[name] ?? []).join(',');
  const inputs = FIELDS.map(({ name, label, hint }) => html`<label>${label} <input name="${name}" value="${value(name)}" placeholder="${hint}"></label>`);
  return html`<form method="get">${inputs}<label>Metrics <select name="metric" multiple size="4">${options([...METRICS.keys()], said['metric']?.flatMap((text) => text.split(',')) ?? [DEFAULT_METRIC])}</select></label>
<label>Per <select name="per"><option value="">as it is</option>${options(PER, said['per'] ?? [])}</select></label><button>Compare</button></form>`;
}

const faultList = (faults: readonly string[]): Markup => html`<section aria-label="What to say otherwise"><ul>${faults.map((fault) => html`<li>${fault}</li>`)}</ul></section>`;
const WELCOME = html`<p>Say what differs between A and B: a label, a deployment, a node, or the time. Both may share what else they have to be.</p>`;

export interface Comparing {
  readonly store: Store;
  readonly defaults: Defaults;
  /** As it is now. */
  readonly book: () => Book;
}

export function serveCompare(app: FastifyInstance, { store, defaults, book }: Comparing): void {
  app.get('/v1/compare', READ, async (request) => compare(store, parseCompare(saidOf(request.query), defaults, ''), book()));

  app.get('/compare', READ, async (request, reply) => {
    const said = filled(saidOf(request.query));
    const nonce = randomBytes(16).toString('base64');
    const main = await answer(said, nonce);
    const style = html`<style nonce="${nonce}">${new Markup(PAGE_STYLE)}</style>`;
    return reply.code(main.status).type('text/html; charset=utf-8').header('content-security-policy', contentSecurity(nonce))
      .send(page('Joulebook: compare', style, html`<header><h1><a href="/">Joulebook</a>: compare</h1>${form(said)}</header><main>${main.body}</main>`));
  });

  async function answer(said: Said, nonce: string): Promise<{ readonly status: number; readonly body: Markup }> {
    if (Object.keys(said).every((name) => name === 'metric' || name === 'per')) return { status: 200, body: WELCOME };
    try {
      return { status: 200, body: comparisonBody(await compare(store, parseCompare(said, defaults, ''), book()), nonce) };
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      return { status: 400, body: faultList(error.faults) };
    }
  }
}
