/** Certificates as an administrator makes them: by openssl, of a CA of one's own. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export function hasOpenssl(): boolean {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

export interface Issued {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: string;
  readonly key: string;
}

export interface Authority {
  readonly certFile: string;
  readonly cert: string;
  /** @param days how long it holds; a time in the past by `until` */
  issue(name: string, options?: { readonly alternative?: string; readonly until?: string }): Issued;
}

const openssl = (folder: string, args: readonly string[]): void => void execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

export function authority(folder: string, name: string): Authority {
  const file = (part: string): string => join(folder, part);
  openssl(folder, ['req', '-x509', ...EC, '-keyout', `${name}.key`, '-out', `${name}.pem`, '-subj', `/CN=${name}`, '-days', '30']);
  // `openssl ca` is the command that takes dates; it wants books.
  writeFileSync(file(`${name}.index`), '');
  writeFileSync(file(`${name}.cnf`), `[ca]\ndefault_ca = own\n[own]\ndatabase = ${name}.index\nnew_certs_dir = .\nrand_serial = yes\ndefault_md = sha256\npolicy = any\nunique_subject = no\ncopy_extensions = copy\n[any]\ncommonName = optional\n`);
  return {
    certFile: file(`${name}.pem`),
    cert: readFileSync(file(`${name}.pem`), 'utf8'),
    issue(subject, { alternative, until } = {}) {
      const base = `${name}-${subject}`;
      openssl(folder, ['req', ...EC, '-keyout', `${base}.key`, '-out', `${base}.csr`, '-subj', `/CN=${subject}`, ...(alternative === undefined ? [] : ['-addext', `subjectAltName=${alternative}`])]);
      const time = until === undefined ? ['-days', '20'] : ['-startdate', '20200101000000Z', '-enddate', until];
      openssl(folder, ['ca', '-config', `${name}.cnf`, '-batch', '-notext', '-cert', `${name}.pem`, '-keyfile', `${name}.key`, '-in', `${base}.csr`, '-out', `${base}.pem`, ...time]);
      return { certFile: file(`${base}.pem`), keyFile: file(`${base}.key`), cert: readFileSync(file(`${base}.pem`), 'utf8'), key: readFileSync(file(`${base}.key`), 'utf8') };
    },
  };
}
