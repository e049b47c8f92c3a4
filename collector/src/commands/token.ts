/**
 * `joulebook token`: who may send and read. With --collector a running collector is asked, as an admin; else the folder of
 * tokens beside the store is changed, which needs nobody's leave but the file system's, and which a running collector notices.
 */
import Table from 'cli-table3';
import { Option, type Command } from 'commander';
import { z } from 'zod';
import { systemClock } from '@joulebook/shared/clock.js';
import { TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import { parseDuration } from '@joulebook/shared/settings.js';
import { parseScope } from '../access/scope.js';
import { openTokens } from '../access/tokens.js';
import { readWanted, tokenBook, tokenMade, tokensShown, type TokenBook, type TokenMade, type TokenShown } from '../api/tokens.js';
import { tokenFolderOf, type CollectorSettings } from '../settings.js';
import { ask, faultsOfAddress } from './ask.js';
import { addSettings, readSettings, TO_COLLECTOR } from './options.js';
import type { Surroundings } from './surroundings.js';

type Flags = Readonly<Record<string, unknown>>;

function throughCollector(url: string, settings: CollectorSettings): TokenBook {
  return {
    list: async () => (await ask(url, settings, { path: 'v1/tokens' }, tokensShown)).tokens,
    create: (wanted) => ask(url, settings, { method: 'POST', path: 'v1/tokens', body: wanted }, tokenMade),
    async revoke(id) {
      await ask(url, settings, { method: 'DELETE', path: `v1/tokens/${encodeURIComponent(id)}` }, z.object({ revoked: z.string() }));
      return true;
    },
  };
}

async function bookOf(flags: Flags, surroundings: Surroundings, faults: readonly string[]): Promise<TokenBook> {
  const settings = await readSettings(flags, surroundings.environment);
  const { collector: url } = flags;
  const all = [...faults, ...(typeof url === 'string' ? faultsOfAddress('--collector', url) : []), ...(url !== undefined && flags['store'] !== undefined ? ['--store and --collector: say one'] : [])];
  if (all.length > 0) throw new UsageError(all);
  if (typeof url === 'string') return throughCollector(url, settings);
  return tokenBook(await openTokens(tokenFolderOf(settings), systemClock, raise, (message) => void surroundings.stderr.write(`joulebook: ${message}\n`)), systemClock);
}

function raise(error: unknown): never {
  throw error;
}

function scopeFaults(scopes: readonly string[]): string[] {
  return scopes.flatMap((scope) => {
    try {
      parseScope(scope);
      return [];
    } catch (error) {
      if (error instanceof UsageError) return error.faults.map((fault) => `--${fault}`);
      throw error;
    }
  });
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
const several = (text: string, before: readonly string[] | undefined): string[] => [...(before ?? []), text];
const day = (time: string | null, otherwise: string): string => (time === null ? otherwise : `${time.slice(0, 16)}Z`);

function table(tokens: readonly TokenShown[]): string {
  if (tokens.length === 0) return 'No tokens.\n';
  const shown = new Table({ head: ['id', 'scopes', 'created', 'expires', 'last used', 'note'], style: { head: [], border: [] } });
  for (const { id, scopes, created, expires, lastUsed, note, valid } of tokens) shown.push([id, scopes.join(' '), day(created, ''), `${day(expires, 'never')}${valid ? '' : ' (expired)'}`, day(lastUsed, 'never'), note ?? '']);
  return `${shown.toString()}\n`;
}

function tellMade({ token, ...made }: TokenMade, json: boolean, { stdout, stderr }: Surroundings): void {
  stdout.write(json ? `${JSON.stringify({ token, ...made }, null, 2)}\n` : `${token}\n`);
  stderr.write(`Token ${made.id} may ${made.scopes.join(', ')}; it expires: ${day(made.expires, 'never')}. It is shown this once: what is kept is its hash.\n`);
}

const HELP = `
scopes   ingest:NODE   send facts of that node; a * at the end stands for any rest (ingest:gpu-*)
         read          figures, nodes, the page, exports, /metrics
         admin         everything, tokens included

Without --collector the folder of tokens beside --store is changed: run it as the user that the collector runs as. The first
token closes a collector: from then on whoever asks needs one.
`;

export function addToken(program: Command, surroundings: Surroundings): void {
  const token = program.command('token').description('tokens of those who may send and read: create, list, revoke').addHelpText('after', HELP);
  const add = (name: string, description: string): Command => {
    const command = token.command(name).description(description).option('--collector <URL>', 'ask a running collector, with a token of scope admin').addHelpText('after', HELP);
    addSettings(command, ['store', 'tokenFolder', ...TO_COLLECTOR]);
    return command;
  };

  add('create', 'makes a token and prints it, this once')
    .addOption(new Option('--scope <SCOPE>', 'ingest:NODE, read or admin; again for more').argParser(several).makeOptionMandatory())
    .option('--expires <DURATION>', 'after which it is refused, e.g. 90d; without it never')
    .option('--note <TEXT>', 'for whom it is')
    .option('--json', 'with its id, scopes and times, as JSON')
    .action(async (flags: Flags) => {
      const scopes = Array.isArray(flags['scope']) ? flags['scope'].map(String) : [];
      const said = textOf(flags['expires']);
      const expiresInSeconds = said === undefined ? undefined : parseDuration(said);
      const faults = [...scopeFaults(scopes), ...(said !== undefined && !(Number(expiresInSeconds) > 0) ? [`--expires: '${said}' is not a duration; write 12h or 90d`] : [])];
      const book = await bookOf(flags, surroundings, faults);
      tellMade(await book.create(readWanted({ scopes, expiresInSeconds, note: textOf(flags['note']) })), flags['json'] === true, surroundings);
    });

  add('list', 'ids, scopes and times of all tokens')
    .option('--json', 'as JSON')
    .action(async (flags: Flags) => {
      const tokens = await (await bookOf(flags, surroundings, [])).list();
      surroundings.stdout.write(flags['json'] === true ? `${JSON.stringify({ tokens }, null, 2)}\n` : table(tokens));
    });

  add('revoke', 'from now on the token is refused')
    .argument('<id>', 'as `token list` shows it')
    .action(async (id: string, flags: Flags) => {
      if (!(await (await bookOf(flags, surroundings, [])).revoke(id))) throw new TelemetryError('NO_SUCH_TOKEN', `There is no token ${id}; 'joulebook token list' shows those there are.`, 'abort');
      surroundings.stderr.write(`Token ${id} is revoked.\n`);
    });
}
