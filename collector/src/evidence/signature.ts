/** Ed25519 over a manifest. A key is named by its fingerprint: SHA-256 of the public key as SPKI, as people compare it over the telephone. */
import { createHash, createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { messageOf, UsageError } from '@joulebook/shared/errors.js';

const MAKE_ONE = 'make one with: openssl genpkey -algorithm ed25519 -out key.pem';
/** Of an Ed25519 signature. */
const SIGNATURE_BYTES = 64;

export const fingerprintOf = (key: KeyObject): string => `SHA256:${createHash('sha256').update(key.export({ type: 'spki', format: 'der' })).digest('base64').replace(/=+$/, '')}`;

export const publicText = (key: KeyObject): string => String(key.export({ type: 'spki', format: 'pem' }));

async function read(setting: string, file: string, parse: (text: string) => KeyObject): Promise<KeyObject> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => Promise.reject(new UsageError([`${setting}: ${messageOf(error)}`])));
  let key: KeyObject;
  try {
    key = parse(text);
  } catch {
    // What a library says of a key may quote it.
    throw new UsageError([`${setting}: ${file} is no key in PEM without a passphrase; ${MAKE_ONE}`]);
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new UsageError([`${setting}: ${file} is a key of type ${key.asymmetricKeyType ?? 'unknown'}, not Ed25519; ${MAKE_ONE}`]);
  return key;
}

/** @throws UsageError */
export const readPrivateKey = (setting: string, file: string): Promise<KeyObject> => read(setting, file, createPrivateKey);
/** @throws UsageError */
export const readPublicKey = (setting: string, file: string): Promise<KeyObject> => read(setting, file, createPublicKey);

export const signatureText = (text: string, key: KeyObject): string => `${sign(null, Buffer.from(text), key).toString('base64')}\n`;

/** Only as it is written: base64 has several spellings of the same bytes. */
export function isSignedBy(text: string, signature: string, key: KeyObject): boolean {
  const bytes = Buffer.from(signature.trimEnd(), 'base64');
  return bytes.length === SIGNATURE_BYTES && `${bytes.toString('base64')}\n` === signature && verify(null, Buffer.from(text), key, bytes);
}
