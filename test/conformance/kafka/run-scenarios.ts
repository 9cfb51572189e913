/** Runs the scenarios with one client; where the client is missing, says so and skips. */
import { afterAll, beforeAll, describe, it } from 'vitest';
import type { ForeignClient } from '../../support/foreign-clients.ts';
import { type KafkaTarget, startTarget } from '../../support/kafka-target.ts';
import type { ClientAdapter } from './client-adapter.ts';
import { SCENARIOS } from './scenarios.ts';

const SCENARIO_TIMEOUT_MS = 60_000;

/** `more` adds tests that only this client can run. */
export function runScenarios(
  name: string,
  client: ForeignClient | undefined,
  adapterOf: (program: string) => ClientAdapter,
  more?: (target: () => KafkaTarget, program: string) => void,
): void {
  if (client !== undefined && 'missing' in client) {
    // Skipped only where a client cannot be installed; the installer has said so on standard error.
    describe.skip(`${name} (missing: ${client.missing})`, () => {
      for (const scenario of SCENARIOS) it(scenario.name);
    });
    return;
  }
  const program = client?.program ?? '';
  describe(name, () => {
    let target: KafkaTarget;
    beforeAll(async () => {
      target = await startTarget();
    });
    afterAll(() => target.close());
    const adapter = adapterOf(program);
    for (const scenario of SCENARIOS) it(scenario.name, () => scenario.run(adapter, target), SCENARIO_TIMEOUT_MS);
    more?.(() => target, program);
  });
}
