/** Built scripts of this project, whether this file runs from dist/ or as source. */
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL(import.meta.url.includes('/dist/') ? '../../../' : '../../', import.meta.url));

/** @param script - its place in dist/ */
export function built(script: string): string {
  return `${ROOT}dist/${script}`;
}
