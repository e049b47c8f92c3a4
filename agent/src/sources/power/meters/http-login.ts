/**
 * Basic and Digest (RFC 7616: SHA-256 and MD5, qop=auth) for meters that want a password. A digest's nonce is used again
 * with a rising count, so that a poll costs one request and not two.
 */
import { createHash, randomBytes } from 'node:crypto';

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

export interface HttpLogin {
  /** The `authorization` header of the next request; undefined before the server has asked. */
  header(method: string, uri: string): string | undefined;
  /** What `www-authenticate` says. @returns whether asking again makes sense */
  challenged(challenges: readonly string[]): boolean;
}

const HASHES: Readonly<Record<string, string>> = { 'sha-256': 'sha256', md5: 'md5' };
const PARAMETER = /([a-z][\w-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))/gi;

interface Digest {
  readonly realm: string;
  readonly nonce: string;
  readonly opaque: string | undefined;
  readonly algorithm: string;
  readonly hash: string;
  readonly qop: boolean;
}

export function httpLogin(credentials: Credentials | undefined, random: () => string = () => randomBytes(16).toString('hex')): HttpLogin {
  let scheme: 'basic' | Digest | undefined;
  let count = 0;
  return {
    header(method, uri) {
      if (!credentials || scheme === undefined) return undefined;
      if (scheme === 'basic') return `Basic ${Buffer.from(`${credentials.user}:${credentials.password}`).toString('base64')}`;
      count += 1;
      return answer(scheme, credentials, { method, uri, count: count.toString(16).padStart(8, '0'), own: random() });
    },
    challenged(challenges) {
      if (!credentials) return false;
      const digests = challenges.flatMap(digestOf);
      const strongest = digests.find(({ hash }) => hash === 'sha256') ?? digests[0];
      const before = scheme;
      scheme = strongest ?? (challenges.some((each) => /\bbasic\b/i.test(each)) ? 'basic' : undefined);
      count = 0;
      // The same question after an answer means that the answer is wrong; a new nonce means that the old one is over.
      if (scheme === undefined || scheme === 'basic') return scheme !== before;
      return before === undefined || before === 'basic' || before.nonce !== scheme.nonce;
    },
  };
}

function digestOf(challenge: string): Digest[] {
  // Several challenges may stand in one header.
  return challenge.split(/\bdigest\s/i).slice(1).flatMap((text) => {
    const said = new Map([...text.matchAll(PARAMETER)].map(([, name = '', quoted, plain]) => [name.toLowerCase(), quoted === undefined ? (plain ?? '') : quoted.replace(/\\(.)/g, '$1')]));
    const algorithm = said.get('algorithm') ?? 'MD5';
    const hash = HASHES[algorithm.toLowerCase()];
    const realm = said.get('realm');
    const nonce = said.get('nonce');
    const qop = said.get('qop')?.split(',').map((each) => each.trim());
    if (hash === undefined || realm === undefined || nonce === undefined || (qop && !qop.includes('auth'))) return [];
    return [{ realm, nonce, opaque: said.get('opaque'), algorithm, hash, qop: qop !== undefined }];
  });
}

function answer({ realm, nonce, opaque, algorithm, hash, qop }: Digest, { user, password }: Credentials, { method, uri, count, own }: { readonly method: string; readonly uri: string; readonly count: string; readonly own: string }): string {
  const digest = (text: string): string => createHash(hash).update(text).digest('hex');
  const secret = digest(`${user}:${realm}:${password}`);
  const request = digest(`${method}:${uri}`);
  const response = digest(qop ? `${secret}:${nonce}:${count}:${own}:auth:${request}` : `${secret}:${nonce}:${request}`);
  return [
    `Digest username=${quoted(user)}`,
    `realm=${quoted(realm)}`,
    `nonce=${quoted(nonce)}`,
    `uri=${quoted(uri)}`,
    `algorithm=${algorithm}`,
    `response="${response}"`,
    ...(opaque === undefined ? [] : [`opaque=${quoted(opaque)}`]),
    ...(qop ? ['qop=auth', `nc=${count}`, `cnonce="${own}"`] : []),
  ].join(', ');
}

const quoted = (text: string): string => `"${text.replace(/["\\]/g, '\\$&')}"`;
