/**
 * What a token may do, as it is written:
 *
 *     ingest:gpu-01    send facts of node gpu-01
 *     ingest:gpu-*     of every node whose name begins with gpu-
 *     read             figures, nodes, the page, exports, /metrics
 *     admin            everything, tokens included
 */
import { UsageError } from '@joulebook/shared/errors.js';

export type Scope = { readonly may: 'read' | 'admin' } | { readonly may: 'ingest'; readonly node: string; readonly andLonger: boolean };

/** What a route asks for. `any`: whoever is known; `open`: everybody, without being asked who they are. */
export type Need = 'open' | 'any' | 'ingest' | 'read' | 'admin';

const LONGEST_NODE = 512;
// oxlint-disable-next-line no-control-regex -- that is what it is about
const CONTROL = /[\u0000-\u001f\u007f]/;

function ingestScope(node: string): Scope | undefined {
  const andLonger = node.endsWith('*');
  const name = andLonger ? node.slice(0, -1) : node;
  const fits = node !== '' && !name.includes('*') && node.length <= LONGEST_NODE && !CONTROL.test(node) && node.trim() === node;
  return fits ? { may: 'ingest', node: name, andLonger } : undefined;
}

/** @throws UsageError naming the text */
export function parseScope(text: string): Scope {
  if (text === 'read' || text === 'admin') return { may: text };
  const scope = text.startsWith('ingest:') ? ingestScope(text.slice('ingest:'.length)) : undefined;
  if (scope) return scope;
  throw new UsageError([`scope: '${text}' is no scope; write ingest:NODE (a * at the end stands for any rest), read or admin`]);
}

export const formatScope = (scope: Scope): string => (scope.may === 'ingest' ? `ingest:${scope.node}${scope.andLonger ? '*' : ''}` : scope.may);

/** Of exactly this node: what a certificate calls its holder is a name, whatever characters are in it. */
export const ingestOf = (node: string): Scope => ({ may: 'ingest', node, andLonger: false });

export const writes = (scopes: readonly Scope[], node: string): boolean =>
  scopes.some((scope) => scope.may === 'admin' || (scope.may === 'ingest' && (scope.andLonger ? node.startsWith(scope.node) : node === scope.node)));

export function satisfies(scopes: readonly Scope[], need: Need): boolean {
  return need === 'open' || need === 'any' || scopes.some(({ may }) => may === 'admin' || may === need);
}
