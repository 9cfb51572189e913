import { expect, it } from 'vitest';
import { ensureKcat } from '../../support/foreign-clients.ts';
import { kcatAdapter, runKcat } from './clients/kcat.ts';
import { runScenarios } from './run-scenarios.ts';

runScenarios('kcat', await ensureKcat(), kcatAdapter, (target, program) => {
  it('finds the features that it needs for format 2, lz4, zstd and idempotence', async () => {
    const { stderr } = await runKcat(program, target(), ['-P', '-t', 'features', '-X', 'debug=feature'], 'x\n');
    for (const feature of ['MsgVer2', 'LZ4', 'ZSTD', 'IdempotentProducer', 'OffsetTime', 'ApiVersion']) {
      expect(stderr).toContain(`Enabling feature ${feature}`);
    }
  });

  it('lists brokers and topics', async () => {
    await runKcat(program, target(), ['-P', '-t', 'listed'], 'x\n');
    const { stdout } = await runKcat(program, target(), ['-L', '-J']);
    const listed = JSON.parse(stdout);
    expect(listed.controllerid).toBe(1);
    expect(listed.brokers).toEqual([{ id: 1, name: `${target().host}:${target().port}` }]);
    expect(listed.topics.map(({ topic }: { topic: string }) => topic)).toContain('listed');
  });
});
