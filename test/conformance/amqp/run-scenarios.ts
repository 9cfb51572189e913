/** Runs the scenarios with one client against a broker process; where the client is missing, says so and skips. */
import { afterAll, beforeAll, describe, it } from 'vitest';
import { AmqpTarget } from '../../support/amqp-target.ts';
import type { ForeignClient } from '../../support/foreign-clients.ts';
import type { AmqpClient } from './client-adapter.ts';
import { ScenarioBed } from './scenario-bed.ts';
import type { Scenario } from './scenarios/scenario.ts';
import { SCENARIOS } from './scenarios/scenarios.ts';

const SCENARIO_TIMEOUT_MS = 30_000;

/** Why the client cannot run it; undefined if it can. */
function obstacle({ needs }: Scenario, cannot: AmqpClient['cannot']): string | undefined {
  const feature = needs.find((each) => cannot[each] !== undefined);
  return feature && cannot[feature];
}

/** @param clientOf - Starts the client; `program` is where the foreign one is. */
export function runScenarios(
  name: string,
  foreign: ForeignClient | undefined,
  clientOf: (program: string) => AmqpClient,
): void {
  if (foreign !== undefined && 'missing' in foreign) {
    // Skipped only where a client cannot be installed; the installer has said so on standard error.
    describe.skip(`${name} (missing: ${foreign.missing})`, () => {
      for (const scenario of SCENARIOS) it(scenario.name);
    });
    return;
  }
  const program = foreign?.program ?? '';
  describe(name, () => {
    const client = clientOf(program);
    let target: AmqpTarget;
    beforeAll(async () => {
      target = await AmqpTarget.start();
    });
    afterAll(async () => {
      await client.close?.();
      await target.close();
    });
    for (const scenario of SCENARIOS) {
      const reason = obstacle(scenario, client.cannot);
      // Skipped where the client has no way to do it; the test's name says so.
      if (reason !== undefined) it.skip(`${scenario.name} (${reason})`);
      else it(scenario.name, () => ScenarioBed.use(client, target, scenario.run), SCENARIO_TIMEOUT_MS);
    }
  });
}
