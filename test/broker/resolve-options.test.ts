import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { camelCaseName, environmentName, OPTION_TABLE, type OptionName, type OptionRow } from '../../broker/options.ts';
import {
  allowedValues,
  checkOption,
  displayValue,
  embeddedSettings,
  isLoopback,
  resolveOptions,
} from '../../broker/resolve-options.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { readTableRows } from '../support/markdown-table.ts';

function row(name: OptionName): OptionRow {
  return OPTION_TABLE.get(name)!;
}

function file(values: Record<string, unknown>): { path: string; values: Map<string, unknown> } {
  return { path: 'burrow.json', values: new Map(Object.entries(values)) };
}

describe('precedence', () => {
  test('is flag, then environment, then file, then default, and each value knows its source', () => {
    const given = {
      flags: new Map([['port', '1']]),
      environment: { BURROW_PORT: '2', BURROW_KAFKA_PORT: '3' },
      file: file({ port: 4, 'kafka-port': 5, 'segment-bytes': '64MiB' }),
    };
    const { settings, sources } = resolveOptions(given);
    expect([settings.port, settings.kafkaPort, settings.segmentBytes]).toEqual([1, 3, 64 * 1024 * 1024]);
    expect(settings.nodeId).toBe(1);
    expect(sources.get('port')).toBe('--port');
    expect(sources.get('kafka-port')).toBe('BURROW_KAFKA_PORT');
    expect(sources.get('segment-bytes')).toBe('burrow.json');
    expect(sources.get('node-id')).toBe('default');
  });

  test('takes an empty variable as unset', () => {
    expect(resolveOptions({ environment: { BURROW_PORT: '' } }).settings.port).toBe(7420);
  });
});

describe('a refusal', () => {
  test.each<[OptionName, unknown, string]>([
    ['port', '65536', 'Option "port" from X is "65536"; allowed: 0 (a free port) to 65535, off.'],
    ['port', 'on', 'Option "port" from X is "on"; allowed: 0 (a free port) to 65535, off.'],
    ['flush', 'allways', 'Option "flush" from X is "allways"; allowed: always, interval, none.'],
    ['retention-ms', -2, 'Option "retention-ms" from X is -2; allowed: 0ms to 9007199254740991, unlimited.'],
    ['flush-interval-ms', '0', 'Option "flush-interval-ms" from X is "0"; allowed: 1ms to 1d.'],
    ['segment-bytes', '1.5', 'Option "segment-bytes" from X is "1.5"; allowed: 1KiB to 2147483647B.'],
    ['salvage', 'yes', 'Option "salvage" from X is "yes"; allowed: true, false.'],
    ['data-dir', '', 'Option "data-dir" from X is ""; allowed: a folder.'],
    ['allowed-origins', [1], 'Option "allowed-origins" from X is [ 1 ]; allowed: texts separated by commas.'],
  ])('of %s=%o names option, source and what is allowed', (name, value, text) => {
    const fields = { option: name, source: 'X' };
    expect(() => checkOption(name, row(name), value, 'X')).toThrow(new BurrowError('INVALID_CONFIG', text, { fields }));
  });

  test('of an unknown key in the file names the nearest option', () => {
    expect(() => resolveOptions({ file: file({ 'kafka-prot': 1 }) })).toThrow(
      'Unknown option "kafka-prot" in burrow.json. Did you mean "kafka-port"?',
    );
    expect(() => resolveOptions({ file: file({ constructor: 1 }) })).toThrow('Unknown option "constructor"');
    expect(() => resolveOptions({ file: file({ config: 'x' }) })).toThrow('cannot name another file');
  });

  test('of a variable that Kubernetes set for a service says so', () => {
    expect(() => resolveOptions({ environment: { BURROW_PORT: 'tcp://10.0.0.1:7420' } })).toThrow('enableServiceLinks');
  });

  test('of an unknown variable is a warning only, since it may be meant for others', () => {
    const environment = { BURROW_KAFKAPORT: '1', BURROW_SERVER: 'ws://x', HOME: '/' };
    expect(resolveOptions({ environment }).warnings).toEqual([
      'Unknown variable BURROW_KAFKAPORT is ignored. Did you mean "BURROW_KAFKA_PORT"?',
    ]);
  });
});

describe('rules across options', () => {
  test('a host that others can reach is refused unless it is said to be safe', () => {
    expect(() => resolveOptions({ environment: { BURROW_HOST: '192.168.1.5' } })).toThrow(
      /"host" from BURROW_HOST is "192.168.1.5", but the Kafka listener does not authenticate .* --kafka-port off, or add --allow-insecure/,
    );
    const flags = new Map<string, unknown>([
      ['host', '192.168.1.5'],
      ['allow-insecure', true],
    ]);
    expect(resolveOptions({ flags }).settings.host).toBe('192.168.1.5');
  });

  test('a wildcard host needs a name that clients can connect to', () => {
    const flags = new Map<string, unknown>([
      ['host', '0.0.0.0'],
      ['allow-insecure', true],
    ]);
    expect(() => resolveOptions({ flags })).toThrow('--advertised-host');
    flags.set('advertised-host', 'broker-1');
    expect(resolveOptions({ flags }).settings.advertisedHost).toBe('broker-1');
  });

  test('only addresses of this machine are loopback', () => {
    for (const host of ['127.0.0.1', '127.8.9.10', '::1', 'localhost']) expect(isLoopback(host), host).toBe(true);
    for (const host of ['0.0.0.0', '::', '127.0.0.1.example.com', '1127.0.0.1', '128.0.0.1', 'localhost.example.com']) {
      expect(isLoopback(host), host).toBe(false);
    }
  });

  test.each([
    [{ port: 'off', 'kafka-port': 'off', 'amqp-port': 'off' }, 'all off'],
    [{ 'amqp-tls-port': 5671 }, '"amqp-tls-port" from burrow.json needs a certificate and its key'],
    [{ 'tls-port': 7421, 'tls-cert': 'c' }, '"tls-cert" and "tls-key" need each other'],
    [{ 'tls-cert': 'c', 'tls-key': 'k' }, '"tls-cert" from burrow.json is for nothing'],
    [{ 'tls-port': 1, 'tls-cert': 'c', 'tls-key': 'k', 'tls-require-client-cert': true }, '--tls-ca'],
    [{ 'default-user': 'admin' }, 'need each other'],
    [{ 'max-message-bytes': '20MiB' }, '"frame-bytes-max" from default is 16777216, but "max-message-bytes"'],
    [{ 'journal-bytes': '4MiB', 'max-message-bytes': '4MiB' }, '"journal-bytes" from burrow.json is 4194304'],
    [{ 'partitions-max': 2, 'default-partitions': 3 }, '"partitions-max" from burrow.json is 2'],
  ])('%o is refused', (values, text) => {
    expect(() => resolveOptions({ file: file(values) })).toThrow(text);
  });
});

describe('an embedded broker', () => {
  test('takes free ports unless told otherwise, and all other defaults of the table', () => {
    const settings = embeddedSettings({ storage: 'memory', kafkaPort: 'off', flushIntervalMs: 5 });
    expect([settings.port, settings.kafkaPort, settings.flushIntervalMs]).toEqual([0, 'off', 5]);
    expect(settings.flush).toBe('always');
    expect(settings).not.toHaveProperty('logLevel');
  });

  test('refuses fields that do not exist, with the nearest that does', () => {
    expect(() => embeddedSettings({ storage: 'memory', kafkaprot: 1 } as never)).toThrow('Did you mean "kafkaPort"?');
    expect(() => embeddedSettings({ storage: 'memory', logLevel: 'info' } as never)).toThrow('no option "logLevel"');
    expect(() => embeddedSettings({} as never)).toThrow('needs storage');
    expect(() => embeddedSettings({ storage: 'memory', port: '1x' } as never)).toThrow('"port" from startBroker');
  });
});

describe('the table', () => {
  test('has only defaults that its own checks accept, in every spelling', () => {
    for (const [name, optionRow] of OPTION_TABLE) {
      if (optionRow.default === undefined) continue;
      expect(checkOption(name, optionRow, optionRow.default, 'X'), name).toEqual(optionRow.default);
      if (Array.isArray(optionRow.default) && optionRow.default.length === 0) continue;
      const written = displayValue(optionRow, optionRow.default);
      expect(checkOption(name, optionRow, written, 'X'), name).toEqual(optionRow.default);
    }
  });

  test('has names that stay apart as variables and as fields', () => {
    const names = [...OPTION_TABLE.keys()];
    for (const spell of [camelCaseName, environmentName]) expect(new Set(names.map(spell)).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^[a-z]+(-[a-z]+)*$/);
  });

  test('never lets an arbitrary value through, and always answers with INVALID_CONFIG', () => {
    const any = fc.oneof(
      fc.string(),
      fc.integer(),
      fc.double(),
      fc.boolean(),
      fc.constant(null),
      fc.array(fc.string()),
    );
    fc.assert(
      fc.property(fc.constantFrom(...OPTION_TABLE), any, ([name, optionRow], value) => {
        try {
          const checked = checkOption(name, optionRow, value, 'X');
          if (optionRow.type === 'boolean') expect(typeof checked).toBe('boolean');
          if ('min' in optionRow) expect(checked === -1 || Number(checked) >= optionRow.min).toBe(true);
        } catch (error) {
          expect(error).toMatchObject({ code: 'INVALID_CONFIG' });
        }
      }),
    );
  });

  test('shows no password of an address', () => {
    const row = OPTION_TABLE.get('coordinator')!;
    expect(displayValue(row, 'etcd://burrow:secret@host:2379/p')).toBe('etcd://burrow:…@host:2379/p');
    expect(displayValue(row, 'etcd://host:2379/p')).toBe('etcd://host:2379/p');
  });

  test('and docs/configuration.md say the same', () => {
    const expected = Array.from(OPTION_TABLE, ([name, optionRow]) => {
      const value = displayValue(optionRow, optionRow.default);
      return [`\`${name}\``, value && `\`${value}\``, allowedValues(optionRow), optionRow.sentence];
    });
    expect(readTableRows('configuration.md')).toEqual(expected);
  });
});
