/** Name and version of this package, as told to clients. */
import fs from 'node:fs';

let name: string | undefined;

/** `burrowmq/1.2.3`. */
export function softwareName(): string {
  name ??= `burrowmq/${packageVersion()}`;
  return name;
}

/** From the package.json above this file, which is one folder deeper once built. */
function packageVersion(): string {
  for (const place of ['../../package.json', '../../../package.json']) {
    try {
      const found = JSON.parse(fs.readFileSync(new URL(place, import.meta.url), 'utf8')) as Record<string, unknown>;
      if (found['name'] === 'burrowmq' && typeof found['version'] === 'string') return found['version'];
    } catch {
      // Not there.
    }
  }
  return 'unknown';
}
