// Makes a fresh clone ready for `npm start` and `npm test` with nothing but Node and npm:
// installs what the lock file names (only when it changed) and compiles what is stale.
import { createHash } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';

const PNPM = 'pnpm@12.21.0';
const root = fileURLToPath(new URL('..', import.meta.url));
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`Joulebook needs Node 20.19 or newer; this is ${process.version}.`);
  process.exit(1);
}

const manifests = ['package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml',
  ...['agent', 'collector', 'shared', 'deploy', 'test'].map((name) => `${name}/package.json`)];
const hash = createHash('sha256');
for (const file of manifests) if (existsSync(join(root, file))) hash.update(file).update(readFileSync(join(root, file)));
const wanted = hash.digest('hex');
const stamp = join(root, 'node_modules', '.bootstrap');

function run(command, args) {
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (result.status !== 0) {
    console.error(`${command} ${args.join(' ')} failed${result.error ? `: ${result.error.message}` : ''}`);
    process.exit(1);
  }
}

if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
  console.error('Installing dependencies (first run, or they changed) …');
  run('npx', ['--yes', PNPM, 'install', '--frozen-lockfile', '--reporter=append-only']);
  mkdirSync(join(root, 'node_modules'), { recursive: true });
  writeFileSync(stamp, wanted);
}
run(join(root, 'node_modules', '.bin', 'tsc'), ['-b']);
