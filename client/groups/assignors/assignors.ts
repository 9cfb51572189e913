/** The assignors there are, by name. */
import type { Assignor, AssignorName } from './assignor.ts';
import { rangeAssignor } from './range.ts';
import { kafkajsRoundRobinAssignor, roundRobinAssignor } from './round-robin.ts';
import { cooperativeStickyAssignor, stickyAssignor } from './sticky.ts';

const BY_NAME: ReadonlyMap<string, Assignor> = new Map(
  [cooperativeStickyAssignor, stickyAssignor, rangeAssignor, roundRobinAssignor, kafkajsRoundRobinAssignor].map(
    (each) => [each.name, each],
  ),
);

export const ASSIGNOR_NAMES = [...BY_NAME.keys()] as readonly AssignorName[];

/** Undefined for a name that is none. */
export function assignorByName(name: string): Assignor | undefined {
  return BY_NAME.get(name);
}
