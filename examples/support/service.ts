/**
 * A service that lives from messages: each is handled once (inbox), and what it sends is sent if and only if its own rows changed
 * (outbox). Kill it where you like: a transaction of its database is all or nothing, and everything around it is repeated.
 */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { type ConsumerRecord, connect, jsonSerializer, stringSerializer } from '../../client/index.ts';
import { ServiceDatabase } from './database.ts';
import { INBOX_SCHEMA, isFirstTime } from './inbox.ts';
import { type Message, OUTBOX_SCHEMA, OutboxRelay } from './outbox.ts';
import { stopRequested } from './stop-requested.ts';

export interface Service<M extends Message> {
  /** Its folder and its database are called so. */
  readonly name: string;
  /** Its consumer group. */
  readonly group: string;
  /** Its own tables. */
  readonly schema: string;
  readonly listensTo: readonly string[];
  /** By type of message, run in a transaction: they change rows and add to the outbox. Other types are passed over. */
  readonly handlers: {
    readonly [Type in M['type']]?: (database: ServiceDatabase, message: M & { type: Type }) => void;
  };
}

/** Runs until it is asked to stop. Takes `--url` of a broker and `--folder` for its data from the command line. */
export async function runService<M extends Message>(service: Service<M>): Promise<void> {
  const { name, group, schema, listensTo, handlers } = service;
  const { url, folder } = serviceArguments();
  const database = new ServiceDatabase(path.join(folder, name, `${name}.db`), [INBOX_SCHEMA, OUTBOX_SCHEMA, schema]);
  const client = await connect(url, { clientId: name, connectWaitMs: 60_000 });
  const relay = new OutboxRelay(database, client);

  const handle = async (record: ConsumerRecord<string, M>): Promise<void> => {
    const message = record.value!;
    const handler = handlers[message.type as M['type']];
    database.transaction(() => {
      if (isFirstTime(database, message.id)) handler?.(database, message as never);
    });
    // Also when it came before: perhaps a crash kept what it caused from being sent.
    await relay.publishAll();
  };

  await relay.publishAll();
  const subscriber = client.subscribe(listensTo, handle, {
    group,
    // Its place in the group is its own: after a crash it goes on at once, in place of waiting until the group misses it.
    groupInstanceId: name,
    from: 'earliest',
    autoCommitIntervalMs: 500,
    keyDeserializer: stringSerializer,
    valueDeserializer: jsonSerializer<M>(),
  });
  await Promise.race([stopRequested(), subscriber.closed]);
  await subscriber.close();
  await client.close();
  database.close();
}

/** What every service of the examples is told. */
export function serviceArguments(): { readonly url: string; readonly folder: string } {
  const { values } = parseArgs({
    options: { url: { type: 'string', default: 'ws://127.0.0.1:7420' }, folder: { type: 'string', default: 'data' } },
  });
  return values;
}
