/** Browsers: pages of other sites are kept out, whatever the browser would send along for them. */
import { isIP } from 'node:net';
import type { FastifyRequest } from 'fastify';

const firstOf = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value[0] : value);

/** Somebody follows a link to the page: what it shows stays with them. A frame is refused by `frame-ancestors`. */
const isLink = ({ method, headers, routeOptions }: FastifyRequest): boolean =>
  method === 'GET' && routeOptions.url === '/' && headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document';

/**
 * A request that a page of another origin makes. Browsers say so themselves (Sec-Fetch-Site, and Origin with all that may change
 * something); programs send neither. Another port or sub-domain is another origin.
 */
export function isCrossSite(request: FastifyRequest): boolean {
  const site = firstOf(request.headers['sec-fetch-site']);
  if (site !== undefined && site !== 'same-origin' && site !== 'none' && !isLink(request)) return true;
  const { origin } = request.headers;
  return origin !== undefined && (!URL.canParse(origin) || new URL(origin).host !== request.host);
}

/** A page of another site whose name was pointed at this address sends that name as Host. */
export function isOwnName(request: FastifyRequest): boolean {
  const host = request.hostname.replace(/^\[|\]$/g, '');
  return isIP(host) !== 0 || host === 'localhost' || host.endsWith('.localhost');
}
