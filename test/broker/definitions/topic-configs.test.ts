import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  changeTopicConfigs,
  checkTopicConfigs,
  describeTopicConfigs,
  resolveTopicConfig,
  TOPIC_CONFIGS,
} from '../../../broker/definitions/topic-configs.ts';
import { LOG_CONFIG_DEFAULTS } from '../../../broker/log/log-config.ts';
import { isBurrowError } from '../../../src/errors/burrow-error.ts';

function problem(key: string, value: string): string {
  try {
    return `kept as ${checkTopicConfigs(new Map([[key, value]])).get(key)}`;
  } catch (error) {
    if (!isBurrowError(error, 'INVALID_CONFIG')) throw error;
    return error.message;
  }
}

describe('the table', () => {
  test('every default is a valid value, kept as it is, and the log engine’s defaults follow from it', () => {
    for (const { key, defaultValue, documentation } of TOPIC_CONFIGS.values()) {
      expect(problem(key, defaultValue), key).toBe(`kept as ${defaultValue}`);
      expect(documentation, key).toMatch(/^[A-Z].*\.$/);
    }
    expect(resolveTopicConfig(new Map())).toEqual({
      ...LOG_CONFIG_DEFAULTS,
      minInsyncReplicas: 1,
      uncleanLeaderElectionEnable: false,
    });
  });

  test('it has every topic config of Kafka 3 and 4', () => {
    expect([...TOPIC_CONFIGS.keys()]).toEqual([
      'cleanup.policy',
      'compression.gzip.level',
      'compression.lz4.level',
      'compression.type',
      'compression.zstd.level',
      'delete.retention.ms',
      'file.delete.delay.ms',
      'flush.messages',
      'flush.ms',
      'follower.replication.throttled.replicas',
      'index.interval.bytes',
      'leader.replication.throttled.replicas',
      'local.retention.bytes',
      'local.retention.ms',
      'max.compaction.lag.ms',
      'max.message.bytes',
      'message.downconversion.enable',
      'message.format.version',
      'message.timestamp.after.max.ms',
      'message.timestamp.before.max.ms',
      'message.timestamp.difference.max.ms',
      'message.timestamp.type',
      'min.cleanable.dirty.ratio',
      'min.compaction.lag.ms',
      'min.insync.replicas',
      'preallocate',
      'remote.storage.enable',
      'retention.bytes',
      'retention.ms',
      'segment.bytes',
      'segment.index.bytes',
      'segment.jitter.ms',
      'segment.ms',
      'unclean.leader.election.enable',
    ]);
  });

  test('every numeric bound holds on both sides', () => {
    let bounds = 0;
    for (const { key, type, min, max } of TOPIC_CONFIGS.values()) {
      const step = type === 'double' ? 0.001 : 1;
      if (min !== undefined && key !== 'max.compaction.lag.ms') {
        expect(problem(key, String(min)), key).toBe(`kept as ${min}`);
        expect(problem(key, String(min - step)), key).toContain('out of bounds');
        bounds++;
      }
      if (max !== undefined) {
        expect(problem(key, String(max)), key).toBe(`kept as ${max}`);
        expect(problem(key, String(max + step)), key).toContain('out of bounds');
        bounds++;
      }
    }
    expect(bounds).toBeGreaterThan(25);
  });
});

describe('values', () => {
  test.each([
    ['retention.ms', '604800000', 'kept as 604800000'],
    ['retention.ms', ' 7d ', 'kept as 604800000'],
    ['retention.ms', '-1', 'kept as -1'],
    ['retention.ms', '-2', 'retention.ms: "-2" is out of bounds: it must be at least -1.'],
    ['retention.ms', '9223372036854775807', 'kept as 9223372036854775807'],
    ['retention.ms', '9223372036854775808', 'out of bounds'],
    ['retention.ms', '1e5', 'retention.ms: "1e5" is not a duration'],
    ['retention.ms', '', 'is not a duration'],
    ['retention.ms', '007', 'kept as 7'],
    ['retention.ms', '+7', 'kept as 7'],
    ['retention.bytes', '10GiB', 'kept as 10737418240'],
    ['segment.bytes', '64MiB', 'kept as 67108864'],
    ['segment.bytes', '2GiB', 'out of bounds: it must be from 14 to 2147483647'],
    ['segment.bytes', '1.5', 'segment.bytes: "1.5" is not a size'],
    ['min.insync.replicas', '0', 'out of bounds'],
    ['min.insync.replicas', '2s', 'is not a whole number'],
    ['min.cleanable.dirty.ratio', '0.25', 'kept as 0.25'],
    ['min.cleanable.dirty.ratio', '.5', 'kept as 0.5'],
    ['min.cleanable.dirty.ratio', '1.01', 'out of bounds: it must be from 0 to 1'],
    ['min.cleanable.dirty.ratio', 'NaN', 'is not a number'],
    ['min.cleanable.dirty.ratio', '', 'is not a number'],
    ['min.cleanable.dirty.ratio', '0x1', 'is not a number'],
    ['cleanup.policy', 'compact', 'kept as compact'],
    ['cleanup.policy', 'compact, delete', 'kept as compact,delete'],
    ['cleanup.policy', 'delete,compact,delete', 'kept as delete,compact'],
    ['cleanup.policy', 'shred', 'cleanup.policy: "shred" is not one of delete, compact.'],
    ['cleanup.policy', 'delete,', '"" is not one of'],
    ['message.timestamp.type', 'LogAppendTime', 'kept as LogAppendTime'],
    ['message.timestamp.type', 'logappendtime', 'is not one of CreateTime, LogAppendTime'],
    ['unclean.leader.election.enable', 'TRUE', 'kept as true'],
    ['unclean.leader.election.enable', 'yes', 'is not one of true, false'],
    ['compression.type', 'producer', 'kept as producer'],
    ['compression.type', 'zstd', 'is not supported: batches are stored as the producer compressed them'],
    ['compression.type', 'brotli', 'is not one of'],
    ['remote.storage.enable', 'true', 'is not supported: there is no tiered storage'],
    ['message.format.version', '2.8-IV1', 'kept as 2.8-IV1'],
    ['flush.messages', '1', 'kept as 1'],
    ['preallocate', 'true', 'kept as true'],
    ['message.format.version', 'x'.repeat(4097), 'more than 4096 characters'],
  ])('%s = %j: %s', (key, value, expected) => {
    expect(problem(key, value)).toContain(expected);
    expect(problem(key, value).length).toBeLessThan(300);
  });

  test('an unknown key is refused with the key that was meant', () => {
    expect(problem('retention.m', '1')).toContain('Did you mean retention.ms?');
    expect(problem('RETENTION_MS', '1')).toContain('Did you mean retention.ms?');
    expect(problem('cleanup.polcy', '1')).toContain('Did you mean cleanup.policy?');
    expect(problem('min.isr.replicas', '1')).toContain('Did you mean min.insync.replicas?');
    expect(problem('qqqqqqqqqqqqq', '1')).toContain('See docs/configuration.md');
    for (const key of ['', '__proto__', 'constructor', 'toString', 'x'.repeat(100_000)]) {
      expect(problem(key, '1')).toMatch(/^Unknown topic config/);
      expect(problem(key, '1').length).toBeLessThan(200);
    }
  });

  test('lags that contradict each other are refused', () => {
    const configs = new Map([
      ['min.compaction.lag.ms', '2000'],
      ['max.compaction.lag.ms', '1000'],
    ]);
    expect(() => checkTopicConfigs(configs)).toThrow('min.compaction.lag.ms (2000) is larger than');
  });

  test('whatever text comes in, it is kept in a form that is kept the same again, or refused as INVALID_CONFIG', () => {
    const key = fc.constantFrom(...TOPIC_CONFIGS.keys());
    const value = fc.oneof(
      fc.string(),
      fc.maxSafeInteger().map(String),
      fc.double().map(String),
      fc.bigInt().map(String),
    );
    fc.assert(
      fc.property(key, value, (k, v) => {
        const kept = problem(k, v);
        if (kept.startsWith('kept as ')) expect(problem(k, kept.slice(8))).toBe(kept);
      }),
      { numRuns: 3000 },
    );
  });
});

test('configs mean what they say; long numbers without a limit become the largest safe integer', () => {
  const config = resolveTopicConfig(
    checkTopicConfigs(
      new Map([
        ['cleanup.policy', 'delete,compact'],
        ['retention.ms', '-1'],
        ['retention.bytes', '1GiB'],
        ['segment.ms', '9223372036854775807'],
        ['max.message.bytes', '2000000'],
        ['message.timestamp.type', 'LogAppendTime'],
        ['min.cleanable.dirty.ratio', '0.1'],
        ['min.insync.replicas', '2'],
        ['unclean.leader.election.enable', 'true'],
      ]),
    ),
  );
  expect(config).toMatchObject({
    cleanupPolicy: 'compact,delete',
    retentionMs: -1,
    retentionBytes: 2 ** 30,
    segmentMs: Number.MAX_SAFE_INTEGER,
    batchBytesMax: 2_000_000,
    timestampType: 'LogAppendTime',
    minCleanableDirtyRatio: 0.1,
    minInsyncReplicas: 2,
    uncleanLeaderElectionEnable: true,
  });
  expect(resolveTopicConfig(new Map([['cleanup.policy', 'compact']])).cleanupPolicy).toBe('compact');
});

test('the old name for the bounds of timestamps stands for those that are not set', () => {
  const configs = new Map([
    ['message.timestamp.difference.max.ms', '5000'],
    ['message.timestamp.after.max.ms', '7000'],
  ]);
  expect(resolveTopicConfig(configs)).toMatchObject({ timestampBeforeMaxMs: 5000, timestampAfterMaxMs: 7000 });
});

test('descriptions tell value, type, sentence, and what is set on the topic; the broker’s defaults stand in between', () => {
  const configs = new Map([['retention.ms', '1000']]);
  const defaults = new Map([
    ['retention.ms', '5'],
    ['segment.bytes', '1048576'],
  ]);
  const described = describeTopicConfigs(configs, defaults);
  expect(described).toHaveLength(TOPIC_CONFIGS.size);
  const find = (key: string) => described.find((entry) => entry.key === key);
  expect(find('retention.ms')).toMatchObject({ value: '1000', isDefault: false, type: 'long' });
  expect(find('segment.bytes')).toMatchObject({ value: '1048576', isDefault: true, type: 'int' });
  expect(find('cleanup.policy')).toMatchObject({ value: 'delete', isDefault: true, type: 'list' });
  expect(find('min.cleanable.dirty.ratio')?.type).toBe('double');
  expect(resolveTopicConfig(configs, defaults)).toMatchObject({ retentionMs: 1000, segmentBytes: 1048576 });
});

test('changes set, and undefined takes back; the outcome is checked as a whole', () => {
  const configs = new Map([['retention.ms', '1000']]);
  const changed = changeTopicConfigs(
    configs,
    new Map<string, string | undefined>([
      ['retention.ms', undefined],
      ['segment.ms', undefined],
      ['segment.bytes', '1MiB'],
    ]),
  );
  expect([...changed]).toEqual([['segment.bytes', '1048576']]);
  expect([...configs]).toEqual([['retention.ms', '1000']]);
  expect(() => changeTopicConfigs(configs, new Map([['nonsense', undefined]]))).toThrow('Unknown topic config');
  expect(() =>
    changeTopicConfigs(new Map([['min.compaction.lag.ms', '5']]), new Map([['max.compaction.lag.ms', '4']])),
  ).toThrow('is larger than');
});
