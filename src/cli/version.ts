/** The version of this package, from the package.json above this file (which is one folder deeper once built). */
import fs from 'node:fs';

export function packageVersion(): string {
  for (const place of ['../../package.json', '../../../package.json']) {
    const file = new URL(place, import.meta.url);
    if (!fs.existsSync(file)) continue;
    const { name, version } = JSON.parse(fs.readFileSync(file, 'utf8')) as { name?: string; version?: string };
    if (name === 'burrowmq' && version !== undefined) return version;
  }
  return 'unknown';
}
