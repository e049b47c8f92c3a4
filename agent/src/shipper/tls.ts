/**
 * How the collector and the agent know each other over https: an authority to trust instead of the system's, and a certificate
 * of the agent's own (mTLS). The files are read again when they change, so a renewed certificate needs no restart.
 * There is no way to do without the check: who can't be known gets no token and no facts.
 */
import { readFileSync, statSync } from 'node:fs';
import { codeOf, messageOf, UsageError } from '@joulebook/shared/errors.js';

/** Paths of PEM files. */
export interface TlsFiles {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

export interface Tls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

const SETTINGS = { ca: 'collectorCa', cert: 'collectorCert', key: 'collectorKey' } as const;
const PARTS = ['ca', 'cert', 'key'] as const;

/** @throws UsageError naming the setting of a file that can't be read, or of one that is missing beside another */
export function readTls(files: TlsFiles): Tls {
  const faults: string[] = [];
  if ((files.cert === undefined) !== (files.key === undefined)) faults.push(`${files.cert === undefined ? SETTINGS.cert : SETTINGS.key}: needed beside ${files.cert === undefined ? SETTINGS.key : SETTINGS.cert}`);
  const read: { ca?: string; cert?: string; key?: string } = {};
  for (const part of PARTS) {
    const path = files[part];
    if (path === undefined) continue;
    try {
      read[part] = readFileSync(path, 'utf8');
    } catch (error) {
      faults.push(`${SETTINGS[part]}: ${messageOf(error)}`);
    }
  }
  if (faults.length > 0) throw new UsageError(faults);
  return read;
}

/** Changes when one of the files does. */
export const stampOf = (files: TlsFiles): string => PARTS.map((part) => files[part]).map((path) => (path === undefined ? '' : (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 'gone'))).join(' ');

const UNTRUSTED: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: 'name its certificate, or the authority that signed it, in collectorCa',
  SELF_SIGNED_CERT_IN_CHAIN: 'name the authority that signed its certificate in collectorCa',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'name the authority that signed its certificate in collectorCa',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'name the authority that signed its certificate in collectorCa',
  CERT_SIGNATURE_FAILURE: 'its certificate was signed by another authority than collectorCa',
  CERT_HAS_EXPIRED: 'renew its certificate, or set this clock',
  CERT_NOT_YET_VALID: 'set this clock',
  ERR_TLS_CERT_ALTNAME_INVALID: 'use the name that stands in its certificate as the address',
};

/** What to do about an answer that could not be trusted; undefined for any other failure. */
export const distrust = (error: unknown): string | undefined => UNTRUSTED[codeOf(error) ?? ''];
