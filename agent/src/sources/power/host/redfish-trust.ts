/** Why a controller is not reached or not trusted: errors of TLS and TCP as codes and sentences. */
import { codeOf, TelemetryError } from '@joulebook/shared/errors.js';

/** The certificate is not the one that was pinned. */
export class PinMismatch extends Error {
  override readonly name = 'PinMismatch';
  constructor(readonly shown: string | undefined) {
    super('the certificate is another one than was pinned');
  }
}

const hex = (fingerprint: string): string => fingerprint.replaceAll(':', '').toLowerCase();
/** `AB:CD:…` and `abcd…` are the same. */
export const samePin = (a: string, b: string): boolean => hex(a) === hex(b);
export const isPin = (text: string): boolean => /^[0-9a-f]{64}$/.test(hex(text));

const EXPIRED = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID']);
const UNKNOWN = new Set(['DEPTH_ZERO_SELF_SIGNED_CERT', 'SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'UNABLE_TO_GET_ISSUER_CERT', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'CERT_SIGNATURE_FAILURE', 'CERT_UNTRUSTED', 'CERT_REVOKED', 'INVALID_CA', 'INVALID_PURPOSE']);

const HOW_TO_PIN = 'pin the certificate with fingerprint (openssl s_client -connect HOST:443 </dev/null | openssl x509 -noout -fingerprint -sha256, taken where you trust the network)';

/** @returns REDFISH_CERTIFICATE_…: `disable`; REDFISH_UNREACHABLE: `retry` */
export function connectionFault(shown: string, error: unknown): TelemetryError {
  if (error instanceof PinMismatch) {
    return new TelemetryError('REDFISH_CERTIFICATE_PIN', `${shown} shows another certificate than the pinned one${error.shown === undefined ? '' : ` (sha256 ${error.shown})`}: if the controller's certificate was renewed, correct fingerprint.`, 'disable');
  }
  const code = codeOf(error) ?? 'connection failed';
  if (EXPIRED.has(code)) return new TelemetryError('REDFISH_CERTIFICATE_EXPIRED', `The certificate of ${shown} is not valid today (${code}): renew it on the controller, or ${HOW_TO_PIN}.`, 'disable');
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return new TelemetryError('REDFISH_CERTIFICATE_NAME', `The certificate of ${shown} is for another name: use that name in url, or ${HOW_TO_PIN}.`, 'disable');
  if (UNKNOWN.has(code)) return new TelemetryError('REDFISH_CERTIFICATE_UNKNOWN', `Nothing vouches for the certificate of ${shown} (${code}): give its authority in ca, or ${HOW_TO_PIN}.`, 'disable');
  return new TelemetryError('REDFISH_UNREACHABLE', `${shown} can't be reached (${code}).`, 'retry');
}
