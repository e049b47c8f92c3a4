import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Puts an `nvidia-smi` into a folder that a test puts on the PATH. */
export async function installStandIn(directory: string): Promise<void> {
  const script = fileURLToPath(new URL('../dist/support/stand-in-nvidia-smi.js', import.meta.url));
  await writeFile(join(directory, 'nvidia-smi'), `#!/bin/sh\nexec '${process.execPath}' '${script}' "$@"\n`, { mode: 0o755 });
}
