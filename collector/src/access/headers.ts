/** What browsers are told with every answer: nothing runs, nothing is framed, kept or handed on. The page allows itself its own script. */
import type { FastifyInstance } from 'fastify';
import helmet from 'helmet';

const YEAR_SECONDS = 365 * 86_400;

/** @param secure only what comes by TLS may ask to be asked by TLS alone */
export function secureHeaders(app: FastifyInstance, secure: boolean): void {
  const secured = helmet({
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
    strictTransportSecurity: secure ? { maxAge: YEAR_SECONDS, includeSubDomains: false } : false,
    referrerPolicy: { policy: 'no-referrer' },
    xFrameOptions: { action: 'deny' },
  });
  app.addHook('onRequest', (request, reply, done) => secured(request.raw, reply.raw, () => done()));
  app.addHook('onSend', async (_request, reply) => {
    void reply.header('cache-control', 'no-store');
  });
}
