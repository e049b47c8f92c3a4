import { seconds } from '@joulebook/shared/units.js';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { codesOf, readingsOf, valuesOf, watch } from '../live.testing.js';
import { CHASSIS, environment, few, METRICS, rack, setDocuments, sourceOf, WITH_METRICS } from './redfish-rack.testing.js';
import { certificate, hasOpenssl, ifNoOpenssl, startRedfish, type Certificate, type RedfishServer } from './redfish-server.testing.js';
import type { RedfishOptions } from './redfish.js';

describe.skipIf(!hasOpenssl)(`getting on with a controller on loopback${ifNoOpenssl}`, () => {
  let good: Certificate;
  let expired: Certificate;
  let server: RedfishServer;
  beforeAll(async () => {
    [good, expired] = await Promise.all([certificate(), certificate(-1)]);
  });
  afterAll(() => Promise.all([good.remove(), expired.remove()]));
  beforeEach(async () => {
    server = await startRedfish(good, WITH_METRICS);
  });
  afterEach(() => server.close());
  const source = (options?: Partial<RedfishOptions>) => sourceOf(server, good, options);
  const documents = (all: Readonly<Record<string, object>>): void => setDocuments(server, all);

  describe('login', () => {
    it('ends on a wrong password after one try, and does not repeat it', async () => {
      const password = 'wrong-4711';
      const { events, logged, ended } = await watch(source({ password }), few(1));
      expect(ended).toMatch(/^REDFISH_LOGIN \(disable\): https:\/\/127\.0\.0\.1:\d+ answered 401: it refuses the user, the password or the token\.$/);
      expect(server.requests).toEqual(['POST /redfish/v1/SessionService/Sessions']);
      expect(JSON.stringify([events, logged, ended])).not.toContain(password);
    });

    it('uses Basic where there are no sessions, or where it is told to', async () => {
      server.hasSessions = false;
      expect(valuesOf((await watch(source(), few(1))).events)).toEqual([374]);
      server.requests.length = 0;
      expect(valuesOf((await watch(source({ login: 'basic' }), few(1))).events)).toEqual([374]);
      expect(server.requests.every((request) => request.startsWith('GET'))).toBe(true);
    });

    it('logs in again when its session has ended, without losing a reading', async () => {
      const { events } = await watch(source(), (soFar) => {
        if (readingsOf(soFar).length === 2) server.sessions.clear();
        return few(4)(soFar);
      });
      expect(codesOf(events)).toEqual([]);
      expect(server.requests.filter((request) => request.startsWith('POST'))).toHaveLength(2);
    });

    it("uses a token that it was given and leaves that session alone; a dead one ends it", async () => {
      server.sessions.add('given');
      const given = source({ username: undefined, password: undefined, token: { env: 'BMC_TOKEN' } });
      expect(valuesOf((await watch(given, few(1), { BMC_TOKEN: 'given' })).events)).toEqual([374]);
      expect(server.sessions.has('given')).toBe(true);
      expect((await watch(given, few(1), { BMC_TOKEN: 'dead' })).ended).toMatch(/^REDFISH_LOGIN \(disable\)/);
    });

    it('says that a login is wanted where none was given, and what right is missing', async () => {
      expect((await watch(source({ username: undefined, password: undefined }), few(1))).ended).toMatch(/answered 401: it wants a login/);
      server.failing.set(METRICS, 403);
      expect((await watch(source(), few(1))).ended).toMatch(/^REDFISH_PRIVILEGE \(disable\): .*ReadOnly/);
    });
  });

  describe('certificates', () => {
    it('accepts the pinned one and no other, before a password is sent', async () => {
      expect(valuesOf((await watch(source({ ca: undefined, fingerprint: good.fingerprint.toLowerCase().replaceAll(':', '') }), few(1))).events)).toEqual([374]);
      server.requests.length = 0;
      const { ended } = await watch(source({ ca: undefined, fingerprint: expired.fingerprint }), few(1));
      expect(ended).toMatch(/^REDFISH_CERTIFICATE_PIN \(disable\): .*shows another certificate than the pinned one/);
      expect(ended).toContain(good.fingerprint);
      expect(server.requests).toEqual([]);
    });

    it('refuses one that nothing vouches for, unless told that it is insecure', async () => {
      expect((await watch(source({ ca: undefined }), few(1))).ended).toMatch(/^REDFISH_CERTIFICATE_UNKNOWN \(disable\): .*fingerprint/);
      expect(server.requests).toEqual([]);
      expect(valuesOf((await watch(source({ ca: undefined, insecure: true }), few(1))).events)).toEqual([374]);
    });

    it('refuses an expired one, accepts it when it is pinned, and says when its file is not there', async () => {
      await server.close();
      server = await startRedfish(expired, WITH_METRICS);
      expect((await watch(source({ ca: expired.file }), few(1))).ended).toMatch(/^REDFISH_CERTIFICATE_EXPIRED \(disable\): .*not valid today/);
      expect(valuesOf((await watch(source({ ca: undefined, fingerprint: expired.fingerprint }), few(1))).events)).toEqual([374]);
      expect((await watch(source({ ca: '/nowhere/ca.pem' }), few(1))).ended).toMatch(/^REDFISH_CA \(disable\)/);
    });

    it('refuses one that is for another address', async () => {
      const other = await certificate(2, '127.0.0.9');
      await server.close();
      server = await startRedfish(other, WITH_METRICS);
      expect((await watch(source({ ca: other.file }), few(1))).ended).toMatch(/^REDFISH_CERTIFICATE_NAME \(disable\)/);
      await other.remove();
    });
  });

  describe('trouble', () => {
    it.each([
      [503, 'REDFISH_UNAVAILABLE'],
      [404, 'REDFISH_GONE'],
      [418, 'REDFISH_ANSWER'],
    ])('breaks on %i, says %s once, and goes on when it is over', async (status, code) => {
      const { events, logged } = await watch(source(), (soFar) => {
        if (readingsOf(soFar).length === 1) server.failing.set(METRICS, status);
        if (codesOf(soFar).length > 0) server.failing.clear();
        return codesOf(soFar).length > 0 && few(2)(soFar);
      });
      expect(codesOf(events)).toEqual([code]);
      expect(events.filter(({ kind }) => kind === 'break')).toHaveLength(1);
      expect(logged.join()).toContain('reads again');
      expect(server.sessions.size).toBe(0);
    });

    it('gives up a question that is not answered in time, and one that is answered with rubbish', async () => {
      server.delay = 400;
      const { events } = await watch(source({ timeout: seconds(0.2) }), (soFar) => codesOf(soFar).length > 0);
      expect(codesOf(events)).toEqual(['REDFISH_UNREACHABLE']);
      server.delay = 0;
      server.documents.set(CHASSIS, '<html>');
      expect(codesOf((await watch(source(), (soFar) => codesOf(soFar).length > 0)).events)).toEqual(['NOT_JSON']);
    });

    it('takes 0 W, "nan" and stale values for missing', async () => {
      const { events } = await watch(source(), (soFar) => {
        if (readingsOf(soFar).length === 1) server.documents.set(METRICS, environment(0));
        if (codesOf(soFar).length === 1) server.documents.set(METRICS, environment('nan'));
        if (codesOf(soFar).length === 2 || codesOf(soFar).length === 3) server.documents.set(METRICS, environment(374, { Oem: { Nvidia: { MetricValueStale: true } } }));
        return soFar.some((event) => event.kind === 'flagged' && /stale/.test(event.detail));
      });
      const flagged = events.flatMap((event) => (event.kind === 'flagged' && event.count === 1 ? [event.detail] : []));
      expect(flagged.join('\n')).toMatch(/says no power: 0 W[\s\S]*says no power: no number of watts[\s\S]*says no power: its reading is stale/);
    });

    it('is disabled where nothing speaks of power, and waits where the server is only off', async () => {
      documents(rack({}));
      expect((await watch(source(), few(1))).ended).toMatch(/^REDFISH_NO_POWER \(disable\)/);
      documents({ ...WITH_METRICS, [METRICS]: environment(0) });
      const { events, ended } = await watch(source(), (soFar) => {
        if (codesOf(soFar).length > 0) server.documents.set(METRICS, environment(200));
        return few(1)(soFar);
      });
      expect(ended).toBeUndefined();
      expect(valuesOf(events)).toEqual([200]);
    });

    it('ends while an answer is awaited, without a complaint, and gives its session back', async () => {
      const stop = new AbortController();
      const { events, logged, ended } = await watch(source(), (soFar) => {
        if (readingsOf(soFar).length === 1) {
          server.delay = 3000;
          setTimeout(() => {
            server.delay = 0;
            stop.abort();
          }, 200);
        }
        return false;
      }, undefined, stop);
      expect(readingsOf(events)).toHaveLength(1);
      expect([logged, ended]).toEqual([[], undefined]);
      expect(server.sessions.size).toBe(0);
    });
  });
});
