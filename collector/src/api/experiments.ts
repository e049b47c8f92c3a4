/**
 * `GET /v1/experiments`: all of them, or how the one with `name` stands. `POST /v1/experiments` starts one, `POST /v1/experiments/stop`
 * stops it, both for admins, with the options of the command as a query.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '@joulebook/shared/clock.js';
import { TelemetryError } from '@joulebook/shared/errors.js';
import { toEpochMicros } from '@joulebook/shared/units.js';
import { actorOf } from '../access/caller.js';
import type { Refusal } from '../access/refusal.js';
import type { Book } from '../book/book.js';
import { CONFLICTS, experimentNamed, startExperiment, stopExperiment, UNKNOWN } from '../experiments/change.js';
import { evaluate } from '../experiments/evaluate.js';
import { experimentsOf, type Experiment } from '../experiments/mark.js';
import { parseName, parseStart } from '../experiments/request.js';
import { showExperiment, type ExperimentListed } from '../experiments/shown.js';
import type { Defaults } from '../report/request.js';
import type { Store } from '../store/store.js';
import { saidOf } from './api.js';

const READ = { config: { needs: 'read' } } as const;
const ADMIN = { config: { needs: 'admin' } } as const;

export interface Experimenting {
  readonly store: Store;
  readonly clock: Clock;
  readonly defaults: Defaults;
  /** As it is now. */
  readonly book: () => Book;
}

/** Refusals that are answers. */
async function explained<T>(reply: FastifyReply, work: () => Promise<T>): Promise<T | Refusal> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof TelemetryError)) throw error;
    const { code, message } = error;
    if (code !== UNKNOWN && !CONFLICTS.some((each) => each === code)) throw error;
    void reply.code(code === UNKNOWN ? 404 : 409);
    return { error: code, message };
  }
}

export function serveExperiments(app: FastifyInstance, { store, clock, defaults, book }: Experimenting): void {
  /** One change after the other: each is held against what was said before. */
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const mine = last.then(work);
    last = mine.catch(() => undefined);
    return mine;
  };
  const now = () => toEpochMicros(clock.wall());

  const change = (event: 'experiment-started' | 'experiment-stopped', request: FastifyRequest, reply: FastifyReply, work: () => Promise<Experiment>): Promise<ExperimentListed | Refusal> =>
    explained(reply, async () => {
      const experiment = await inTurn(work);
      app.audit.acted({ event, name: experiment.name, nodes: experiment.definition.nodes.length }, actorOf(request));
      return showExperiment(experiment);
    });

  app.get('/v1/experiments', READ, async (request, reply) => {
    const said = saidOf(request.query);
    if (Object.keys(said).length === 0) return { experiments: experimentsOf(await store.experimentMarks()).map(showExperiment) };
    const { name } = parseName(said, '', false);
    return explained(reply, async () => evaluate(store, await experimentNamed(store, name), now(), defaults, book()));
  });

  app.post('/v1/experiments', ADMIN, async (request, reply) => {
    const asked = parseStart(saidOf(request.query), '');
    return change('experiment-started', request, reply, () => startExperiment(store, asked, now(), ''));
  });

  app.post('/v1/experiments/stop', ADMIN, async (request, reply) => {
    const asked = parseName(saidOf(request.query), '', true);
    return change('experiment-stopped', request, reply, () => stopExperiment(store, asked, now(), ''));
  });
}
