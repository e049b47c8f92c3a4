/**
 * HTTPS, with certificates of clients where a CA for them is named. The files are read again on SIGHUP and when one of them
 * changed; files that don't fit together, or hold a certificate that is not valid now in the place of one that is, change nothing but the log.
 */
import { createHash, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer as createPlain, type RequestListener, type Server } from 'node:http';
import { createServer as createSecure, type Server as SecureServer, type ServerOptions } from 'node:https';
import { createSecureContext } from 'node:tls';
import type { FastifyBaseLogger } from 'fastify';
import { codeOf, messageOf, UsageError } from '@joulebook/shared/errors.js';
import type { Audit } from './audit.js';

const LOOK_EVERY_MS = 30_000;
const SOON_MS = 14 * 86_400_000;
const GONE: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE']);

export interface TlsSettings {
  readonly tlsCert: string | undefined;
  readonly tlsKey: string | undefined;
  readonly tlsClientCa: string | undefined;
  readonly tlsClientCertificate: 'required' | 'optional';
}

export interface Tls {
  readonly secure: boolean;
  /** A server to listen with; how the others of this process are made. */
  serve(listener: RequestListener, options: ServerOptions): Server;
  /** Reads the files again. Those connected by the clients' CA of before have to connect anew where that changed. */
  reload(): Promise<void>;
  close(): void;
}

interface Material {
  readonly cert: string;
  readonly key: string;
  readonly ca: string | undefined;
  readonly stamp: string;
  readonly caStamp: string;
}

const stampOf = (...texts: readonly string[]): string => createHash('sha256').update(JSON.stringify(texts)).digest('hex');
const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Every certificate of a file. */
function certificatesIn(text: string): X509Certificate[] {
  return (text.match(PEM) ?? []).map((pem) => new X509Certificate(pem));
}

/** @throws UsageError with every fault, each naming its setting */
async function readMaterial({ tlsCert, tlsKey, tlsClientCa }: TlsSettings): Promise<Material | undefined> {
  const faults: string[] = [];
  if (tlsCert === undefined && tlsKey !== undefined) faults.push('tlsCert: missing; tlsKey is of no use without the certificate');
  if (tlsKey === undefined && tlsCert !== undefined) faults.push('tlsKey: missing; tlsCert is of no use without its key');
  if (tlsClientCa !== undefined && tlsCert === undefined) faults.push('tlsCert: missing; certificates of clients (tlsClientCa) need TLS');
  const read = async (name: string, path: string | undefined): Promise<string> => {
    if (path === undefined) return '';
    return readFile(path, 'utf8').catch((error: unknown) => {
      faults.push(`${name}: ${messageOf(error)}`);
      return '';
    });
  };
  const [cert, key, ca] = [await read('tlsCert', tlsCert), await read('tlsKey', tlsKey), await read('tlsClientCa', tlsClientCa)];
  if (faults.length === 0 && tlsCert !== undefined) {
    for (const [name, path, text] of [['tlsCert', tlsCert, cert], ['tlsClientCa', tlsClientCa, ca]] as const) {
      if (path !== undefined && certificatesIn(text).length === 0) faults.push(`${name}: there is no certificate in ${path}; PEM is expected`);
    }
    try {
      createSecureContext({ cert, key, ...(tlsClientCa !== undefined && { ca }) });
    } catch (error) {
      faults.push(`tlsKey: ${tlsKey ?? ''} and ${tlsCert} can't be used together: ${messageOf(error)}`);
    }
  }
  if (faults.length > 0) throw new UsageError(faults);
  if (tlsCert === undefined) return undefined;
  return { cert, key, ca: tlsClientCa === undefined ? undefined : ca, stamp: stampOf(cert, key, ca), caStamp: stampOf(ca) };
}

/** Why clients take this certificate for none, if they do. */
function untimely({ cert }: Material): string | undefined {
  const [own] = certificatesIn(cert);
  if (!own) return undefined;
  if (Date.parse(own.validTo) <= Date.now()) return `expired at ${own.validTo}`;
  return Date.parse(own.validFrom) > Date.now() ? `is not valid before ${own.validFrom}` : undefined;
}

function warnOfExpiry(material: Material, log: FastifyBaseLogger): void {
  const [own] = certificatesIn(material.cert);
  const now = untimely(material);
  if (own && now !== undefined) log.warn({ expires: own.validTo }, `the certificate of this collector ${now}: clients refuse it; put a valid one in its place, no restart is needed`);
  else if (own && Date.parse(own.validTo) < Date.now() + SOON_MS) log.warn({ expires: own.validTo }, 'the certificate of this collector is about to expire; renew it, no restart is needed');
}

const contextOf = ({ cert, key, ca }: Material): Pick<ServerOptions, 'cert' | 'key' | 'ca'> => ({ cert, key, ...(ca !== undefined && { ca }) });

/** @throws UsageError when the files are missing or don't fit together */
export async function openTls(settings: TlsSettings, log: FastifyBaseLogger, audit: Audit): Promise<Tls> {
  let material = await readMaterial(settings);
  if (!material) return { secure: false, serve: (listener, options) => createPlain(options, listener), reload: () => Promise.resolve(), close: () => undefined };
  warnOfExpiry(material, log);
  const servers: SecureServer[] = [];

  /** Said once, however often the files are looked at; and again to whoever asks. */
  let said: string | undefined;
  async function reload(asked: boolean): Promise<void> {
    try {
      const read = await readMaterial(settings);
      if (!read || !material) return;
      if (read.stamp === material.stamp) {
        said = undefined;
        return;
      }
      const fault = untimely(read);
      if (fault !== undefined && untimely(material) === undefined) throw new UsageError([`tlsCert: the certificate in ${settings.tlsCert ?? ''} ${fault}`]);
      said = undefined;
      const othersTrusted = read.caStamp !== material.caStamp;
      material = read;
      for (const server of servers) {
        server.setSecureContext(contextOf(read));
        // They were let in by a CA that may not be trusted any more. What was being sent is sent again.
        if (othersTrusted) server.closeAllConnections();
      }
      log.info('the certificates were read again');
      warnOfExpiry(read, log);
    } catch (error) {
      const message = messageOf(error);
      if (asked || message !== said) log.error({ error: message }, 'the certificates can not be used; those of before stay in use');
      said = message;
    }
  }

  const looking = setInterval(() => void reload(false), LOOK_EVERY_MS).unref();
  const current = material;
  return {
    secure: true,
    serve(listener, options) {
      const clients = settings.tlsClientCa === undefined ? {} : { requestCert: true, rejectUnauthorized: settings.tlsClientCertificate === 'required' };
      const server = createSecure({ ...options, ...contextOf(material ?? current), ...clients }, listener);
      server.on('tlsClientError', (error, socket) => {
        // Who hangs up before it is known who they are was refused nothing: an agent that stops, a probe of a port.
        if (GONE.has(codeOf(error) ?? '')) return;
        audit.refused({ event: 'handshake', address: socket.remoteAddress, reason: codeOf(error) ?? messageOf(error) });
      });
      servers.push(server);
      return server;
    },
    reload: () => reload(true),
    close: () => clearInterval(looking),
  };
}
