/** Where the second store is: `https://host:8086/prefix?bucket=joulebook&org=acme`. The token is a setting of its own, never a part of the address. */
import { UsageError } from '@joulebook/shared/errors.js';

export interface Server {
  /** Without a query. */
  readonly url: URL;
  /** InfluxDB 1.8 and its like: `database` or `database/retention policy`. */
  readonly bucket: string;
  readonly org: string;
  readonly token: string | undefined;
}

const DEFAULT_BUCKET = 'joulebook';
const KNOWN: readonly string[] = ['bucket', 'org'];

export const isServerAddress = (place: string): boolean => /^https?:\/\//i.test(place);

/** What may be told of it in logs. */
export const withoutQuery = ({ url }: Server): string => `${url.origin}${url.pathname.replace(/\/$/, '')}`;

/** @throws UsageError naming every fault, and never what was written */
export function serverOf(place: string, token: string | undefined): Server {
  if (!URL.canParse(place)) throw new UsageError(['store: not an address like http://127.0.0.1:8086?bucket=joulebook']);
  const url = new URL(place);
  const faults: string[] = [];
  if (url.username !== '' || url.password !== '') faults.push('store: an address must not hold a name or password, it ends up in logs; use storeToken (JOULEBOOK_STORE_TOKEN)');
  for (const name of url.searchParams.keys()) if (!KNOWN.includes(name)) faults.push(`store: '${name}' is not known in an address; known are ${KNOWN.join(' and ')}`);
  if (faults.length > 0) throw new UsageError(faults);
  const said = (name: string): string | undefined => url.searchParams.get(name) ?? undefined;
  const server = { bucket: said('bucket') ?? DEFAULT_BUCKET, org: said('org') ?? '-', token };
  url.search = '';
  url.hash = '';
  return { url, ...server };
}
