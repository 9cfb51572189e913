import type { Feature } from '../client-adapter.ts';
import type { ScenarioBed } from '../scenario-bed.ts';

export interface Scenario {
  readonly name: string;
  /** What a client must be able to do for it, beyond declaring, publishing, getting and consuming. */
  readonly needs: readonly Feature[];
  run(bed: ScenarioBed): Promise<void>;
}
