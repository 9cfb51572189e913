import { expect, it } from 'vitest';
import { ensureKcat } from '../../support/foreign-clients.ts';
import { kcatAdapter, runKcat } from './clients/kcat.ts';
import { runScenarios } from './run-scenarios.ts';

runScenarios('kcat', await ensureKcat(), kcatAdapter, (target, program) => {
  it.each(['snappy', 'lz4', 'zstd'])('does not think that the broker lacks what %s needs', async (codec) => {
    const args = ['-P', '-t', 'features', '-z', codec, '-X', 'debug=feature,msg'];
    const { stderr } = await runKcat(program, target(), args, `${'compressible '.repeat(100)}\n`);
    expect(stderr).toContain('Enabling feature MsgVer2');
    expect(stderr).toContain('Enabling feature LZ4');
    expect(stderr).toContain('Enabling feature ZSTD');
    expect(stderr).toContain('Enabling feature IdempotentProducer');
    expect(stderr).not.toMatch(/compression .* not supported|dropping/i);
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
