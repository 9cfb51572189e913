/** `burrow queue publish|get|peek|move`. */
import type { Command } from 'commander';
import type { BrowsedMessage, Queue, QueueMessage, VirtualHost } from '../../client/index.ts';
import { BurrowError } from '../errors/burrow-error.ts';
import { wholeNumber } from './client-command.ts';
import { LineSplitter } from './line-splitter.ts';
import { LineWriter } from './line-writer.ts';
import {
  type Arguments,
  argumentsText,
  gatherArguments,
  plainArguments,
  type QueueFlags,
  report,
  withVirtualHost,
} from './queue-flags.ts';
import { textOf } from './record-output.ts';
import { formatTable } from './table.ts';
import { count } from './totals.ts';

const LINE_BYTES_MAX = 16 * 1024 * 1024;
/** Messages under way at once. */
const WINDOW = 500;
/** Of a body in a table. */
const SHOWN_CHARACTERS_MAX = 60;

export function addMessageCommands(queue: Command): void {
  queue
    .command('publish')
    .description('Publish the given texts, or each line of standard input')
    .argument('<queue>')
    .argument('[bodies...]')
    .option('--exchange <name>', 'Publish to this exchange, with <queue> as the routing key')
    .option('--header <name=value>', 'Header; may be repeated', gatherArguments)
    .option('--priority <number>', 'Priority, in queues that have them', wholeNumber(0))
    .option('--expiration-ms <number>', 'Lifetime', wholeNumber(0))
    .action(publish);
  queue
    .command('get')
    .description('Take messages and print them')
    .argument('<queue>')
    .option('--count <number>', 'Most messages', wholeNumber(1), 1)
    .option('--requeue', 'Put them back afterwards')
    .action(get);
  queue
    .command('peek')
    .description('Print messages, ready or not, and leave them there')
    .argument('<queue>')
    .option('--count <number>', 'Most messages', wholeNumber(1), 10)
    .option('--skip <number>', 'Messages to pass over', wholeNumber(0), 0)
    .action(peek);
  queue
    .command('move')
    .description('Move the messages of one queue to another, such as dead letters back')
    .argument('<from>')
    .argument('<to>')
    .option('--count <number>', 'Most messages (default: all there are)', wholeNumber(1))
    .action(move);
}

interface PublishFlags extends QueueFlags {
  readonly exchange?: string;
  readonly header?: Arguments;
  readonly priority?: number;
  readonly expirationMs?: number;
}

async function publish(name: string, bodies: readonly string[], flags: PublishFlags): Promise<void> {
  await withVirtualHost(flags, async (host) => {
    const { header, priority, expirationMs, exchange = '' } = flags;
    const options = { headers: header, priority, expirationMs, routingKey: name, mandatory: true };
    let published = 0;
    let pending: Promise<void>[] = [];
    for await (const body of bodies.length > 0 ? encoded(bodies) : inputLines()) {
      pending.push(host.exchange(exchange).publish(body, options));
      if (pending.length < WINDOW) continue;
      published += (await Promise.all(pending)).length;
      pending = [];
    }
    published += (await Promise.all(pending)).length;
    report(flags, `Published ${count(published, 'message')}.`, { queue: name, messages: published });
  });
}

function* encoded(bodies: readonly string[]): Generator<Uint8Array> {
  for (const body of bodies) yield Buffer.from(body);
}

async function* inputLines(): AsyncGenerator<Uint8Array> {
  const splitter = new LineSplitter({ source: 'standard input', lineBytesMax: LINE_BYTES_MAX });
  for await (const chunk of process.stdin) yield* splitter.push(chunk as Uint8Array);
  const last = splitter.end();
  if (last !== undefined) yield last;
}

async function get(name: string, flags: QueueFlags & { count: number; requeue?: boolean }): Promise<void> {
  await withVirtualHost(flags, async (host) => {
    const writer = new LineWriter(process.stdout);
    const held: QueueMessage[] = [];
    let left = flags.count;
    while (left > 0 && !writer.closed) {
      const messages = await takeMany(host.queue(name), Math.min(left, WINDOW));
      if (messages.length === 0) break;
      left -= messages.length;
      for (const message of messages) writer.add(flags.json ? messageLine(message) : message.body);
      await writer.flush();
      // Only what was printed is done with; the rest goes back with the connection.
      if (writer.closed) break;
      if (flags.requeue) held.push(...messages);
      else for (const message of messages) message.ack();
    }
    for (const message of held) message.requeue();
    await host.flush();
  });
}

/** As many as there are, up to `wanted`. */
async function takeMany(queue: Queue, wanted: number): Promise<QueueMessage[]> {
  const taken = await Promise.all(Array.from({ length: wanted }, () => queue.get()));
  return taken.filter((message) => message !== undefined);
}

async function peek(name: string, flags: QueueFlags & { count: number; skip: number }): Promise<void> {
  await withVirtualHost(flags, async (host) => {
    const messages = await host.queue(name).browse({ limit: flags.count, skip: flags.skip });
    if (flags.json) {
      for (const message of messages) process.stdout.write(`${messageLine(message)}\n`);
      return;
    }
    const rows = messages.map((message, index) => [
      flags.skip + index,
      new Date(message.timestampMs).toISOString(),
      message.exchange === '' ? '-' : message.exchange,
      message.routingKey,
      argumentsText(message.headers),
      message.body.length,
      shownBody(message),
    ]);
    const head = ['POSITION', 'TIME', 'EXCHANGE', 'KEY', 'HEADERS', 'BYTES', 'BODY'];
    process.stdout.write(`${rows.length === 0 ? 'No messages.' : formatTable(head, rows)}\n`);
  });
}

/** Control characters must not reach the terminal. */
function shownBody(message: BrowsedMessage): string {
  const text = textOf(message.body.subarray(0, SHOWN_CHARACTERS_MAX * 4)) ?? '(not text)';
  const cut = text.length > SHOWN_CHARACTERS_MAX ? `${text.slice(0, SHOWN_CHARACTERS_MAX)}…` : text;
  return cut.replace(/\p{Cc}/gu, ' ');
}

function messageLine(message: BrowsedMessage): string {
  const { headers, ...properties } = message.properties;
  const text = textOf(message.body);
  return JSON.stringify({
    exchange: message.exchange,
    routingKey: message.routingKey,
    timestamp: message.timestampMs,
    properties,
    headers: plainArguments(headers ?? new Map()),
    ...(text === undefined ? { bodyBase64: Buffer.from(message.body).toString('base64') } : { body: text }),
  });
}

async function move(from: string, to: string, flags: QueueFlags & { readonly count?: number }): Promise<void> {
  if (from === to) throw new BurrowError('INVALID_ARGUMENT', 'The two queues must be different.');
  await withVirtualHost(flags, async (host) => {
    await host.queue(to).check();
    // What comes in meanwhile stays: it might come from the other queue.
    const { messageCount } = await host.queue(from).check();
    const moved = await moveMany(host, { from, to, messages: Math.min(flags.count ?? messageCount, messageCount) });
    report(flags, `Moved ${count(moved, 'message')} from ${from} to ${to}.`, { from, to, messages: moved });
  });
}

/** A message leaves its queue once the other one has stored it; so none is lost, and after a failure some may be in both. */
async function moveMany(
  host: VirtualHost,
  { from, to, messages }: { readonly from: string; readonly to: string; readonly messages: number },
): Promise<number> {
  let moved = 0;
  while (moved < messages) {
    const taken = await takeMany(host.queue(from), Math.min(messages - moved, WINDOW));
    if (taken.length === 0) break;
    await Promise.all(
      taken.map(async (message) => {
        await host.defaultExchange.forward(message, { routingKey: to, mandatory: true });
        message.ack();
      }),
    );
    moved += taken.length;
  }
  await host.flush();
  return moved;
}
