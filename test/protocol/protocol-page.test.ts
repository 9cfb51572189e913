/** docs/protocol.md says what the code does. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { NATIVE_LIMITS, type NativeLimits } from '../../broker/listeners/native/native-limits.ts';
import { OPTION_TABLE, type OptionName } from '../../broker/options.ts';
import { ERROR_TABLE } from '../../src/errors/table.ts';
import { encodeRequest, encodeResponse } from '../../src/protocol/frame.ts';
import { ENTRIES_MAX } from '../../src/protocol/message-parts.ts';
import {
  DELIVERIES_PUSH_BODY,
  ENDED_PUSH_BODY,
  MESSAGES,
  type MessageName,
  RECORDS_PUSH_BODY,
} from '../../src/protocol/messages.ts';
import { REQUEST_SCAN_LIMITS } from '../../src/protocol/scan-value.ts';
import { HELLO_FRAME_BYTES_MAX, SUBPROTOCOL } from '../../src/protocol/version.ts';
import { testBatch } from '../support/batches.ts';
import { parseNotation, type WireType } from './notation.ts';

const PAGE = readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8');

/** The type as the page writes it, and below it the fields with their paths. */
function describeType(type: WireType): { text: string; rows: string[][] } {
  switch (type.kind) {
    case 'scalar':
      return { text: type.max === 0 ? type.name : `${type.name} ≤ ${type.max}`, rows: [] };
    case 'nullable': {
      const { text, rows } = describeType(type.of);
      return { text: `${text} or nil`, rows };
    }
    case 'list': {
      const { text, rows } = describeType(type.of);
      const elements = text === 'structure' ? 'list of structures' : `list of ${text}`;
      return { text: elements, rows: rows.map(([path, of]) => [`[].${path}`, of!]) };
    }
    case 'struct':
      return {
        text: 'structure',
        rows: type.fields.flatMap(([name, field]) => {
          const { text, rows } = describeType(field);
          const below = rows.map(([path, of]) => [path!.startsWith('[]') ? name + path : `${name}.${path}`, of!]);
          return [[name, text], ...below];
        }),
      };
  }
}

/** Sections of the messages by heading: the rows of the tables with this first cell in the head. */
function tableRows(section: string, head: string): string[][] {
  const lines = section.split('\n');
  const start = lines.findIndex((line) => new RegExp(`^\\| ${head} +\\| Type`).test(line));
  if (start === -1) return [];
  const end = lines.findIndex((line, index) => index > start && !line.startsWith('|'));
  return lines.slice(start + 2, end).map((line) => {
    const [path, type, meaning] = line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
    expect(meaning, line).not.toBe('');
    return [path!, type!].map((cell) => cell.replaceAll('`', ''));
  });
}

const sections = new Map(
  Array.from(PAGE.matchAll(/^### (\w+) \((\d+)\)\n([\s\S]*?)(?=^##)/gm), ([, name, api, text]) => [
    name!,
    { api: Number(api), text: text! },
  ]),
);

test('the page has a section for each message and for no other', () => {
  expect(Array.from(sections, ([name, { api }]) => [name, api])).toEqual(
    Object.entries(MESSAGES).map(([name, { api }]) => [name, api]),
  );
});

test.each(Object.keys(MESSAGES) as MessageName[])('%s has the fields that the page lists, in that order', (name) => {
  const { request, response } = MESSAGES[name];
  const { text } = sections.get(name)!;
  expect(tableRows(text, 'Request')).toEqual(describeType(parseNotation(request.notation)).rows);
  expect(tableRows(text, 'Response')).toEqual(describeType(parseNotation(response.notation)).rows);
});

test.each([
  ['records', 'Push', RECORDS_PUSH_BODY],
  ['deliveries', 'Deliveries', DELIVERIES_PUSH_BODY],
  ['the end of a consumer or channel', 'Ended', ENDED_PUSH_BODY],
])('the push of %s has the fields that the page lists, in that order', (_, head, { notation }) => {
  expect(tableRows(PAGE, head)).toEqual(describeType(parseNotation(notation)).rows);
});

const hexBlocks = Array.from(PAGE.matchAll(/```hex\n([\s\S]*?)```/g), ([, block]) =>
  block!
    .split('\n')
    .map((line) => line.split('#')[0]!.replaceAll(' ', ''))
    .join(''),
);

describe('the bytes of', () => {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

  test('hello and its answer are those of the page', () => {
    const hello = { protocolVersionMin: 1, protocolVersionMax: 1, clientId: 'docs', software: 'docs/1' };
    expect(hexBlocks[0]).toBe(hex(encodeRequest('hello', 0, hello)));
    expect(PAGE).toContain(`hello of a client, ${hexBlocks[0]!.length / 2} bytes:`);
    const answer = {
      protocolVersion: 1,
      software: 'burrowmq/0.1.0',
      nodeId: 1,
      clusterId: 'jR3kQ0mXT6uPz1nYw8aB2g',
      limits: {
        frameBytesMax: 16_777_216,
        inFlightRequestsMax: 1000,
        inFlightBytesMax: 33_554_432,
        idleTimeoutMs: 60_000,
        batchBytesMax: 1_048_588,
      },
      loginNeeded: false,
    };
    expect(hexBlocks[1]).toBe(hex(encodeResponse('hello', 0, answer)));
  });

  test('produce are those of the page', () => {
    const records = [testBatch(['hello'], { timestampMs: 1_700_000_000_000 })];
    const produce = { acks: -1, timeoutMs: 30_000, partitions: [{ topic: 'greetings', partition: 0, records }] };
    expect(hexBlocks[2]).toBe(hex(encodeRequest('produce', 1, produce)));
    expect(hexBlocks).toHaveLength(3);
  });
});

/** Limits that options of the broker set; the ping interval is half of the idle time. */
const OPTION_OF_LIMIT: ReadonlyMap<keyof NativeLimits, OptionName> = new Map([
  ['frameBytesMax', 'frame-bytes-max'],
  ['connectionsMax', 'connections-max'],
  ['connectionsPerIpMax', 'connections-per-ip-max'],
  ['handshakeTimeoutMs', 'handshake-timeout-ms'],
  ['idleTimeoutMs', 'ping-interval-ms'],
  ['inFlightRequestsMax', 'in-flight-requests-max'],
  ['inFlightBytesMax', 'in-flight-bytes-max'],
  ['writeBufferedBytesMax', 'write-buffered-bytes-max'],
  ['writeStallTimeoutMs', 'write-stall-timeout-ms'],
]);

test('every limit is on the page with its default, and no other', () => {
  const expected = Object.entries(NATIVE_LIMITS).map(([key, value]) => {
    const option = OPTION_OF_LIMIT.get(key as keyof NativeLimits);
    return option === undefined ? [key, String(value)] : [option, String(OPTION_TABLE.get(option)?.default)];
  });
  const section = /^## Limits\n([\s\S]*?)^## /m.exec(PAGE)![1]!;
  const rows = section.split('\n').filter((line) => line.startsWith('| `'));
  const listed = rows.map((row) =>
    row
      .split('|')
      .slice(1, 3)
      .map((cell) => cell.trim().replaceAll('`', '')),
  );
  expect(listed.sort()).toEqual(expected.sort());
  expect(PAGE).toContain(`Before hello is done, the limit is ${HELLO_FRAME_BYTES_MAX}`);
  expect(PAGE).toContain(`at most ${REQUEST_SCAN_LIMITS.valuesMax.toLocaleString('en-US')} values`);
  expect(PAGE).toContain(`at most ${REQUEST_SCAN_LIMITS.depthMax} arrays within each other`);
  expect(PAGE).toContain(`${ENTRIES_MAX.toLocaleString('en-US')} elements`);
  expect(PAGE).toContain(`subprotocol \`${SUBPROTOCOL}\``);
});

test('every close code of the listener is on the page, and no other of ours', () => {
  const code = readFileSync(new URL('../../broker/listeners/native/connection.ts', import.meta.url), 'utf8');
  const codes = Array.from(code.matchAll(/^const CLOSE_\w+ = (\d{4});/gm), (match) => Number(match[1]));
  const ours = codes.filter((number) => number !== 2000);
  const section = /^## Close codes\n([\s\S]*?)^## /m.exec(PAGE)![1]!;
  const listed = Array.from(section.matchAll(/^\| (\d{4}) /gm), (match) => Number(match[1]));
  // 1007 and 1008 are the WebSocket library's.
  expect(listed).toEqual([...ours, 1007, 1008].sort());
});

test('errors that the page names exist', () => {
  const named = new Set(PAGE.match(/\b[A-Z]{2,}(?:_[A-Z]+)+\b/g));
  expect(named.size).toBeGreaterThan(15);
  for (const name of named) expect(ERROR_TABLE.has(name as never), name).toBe(true);
});
