/** rabbitmq-client against the listener; what is behind the protocol is imitated. */
import { Connection } from 'rabbitmq-client';
import { expect, onTestFinished, test } from 'vitest';
import { AmqpException } from '../../../broker/listeners/amqp/reply-codes.ts';
import { type ListenerBed, startBed } from './listener-bed.ts';

async function connect({ listener }: ListenerBed, password = 'guest'): Promise<Connection> {
  const connection = new Connection({
    url: `amqp://guest:${password}@127.0.0.1:${listener.port}`,
    acquireTimeout: 2000,
    retryLow: 10,
  });
  connection.on('error', () => {});
  onTestFinished(() => connection.unsafeDestroy());
  return connection;
}

test('publishes, gets, selects a transaction', async () => {
  const bed = await startBed();
  const connection = await connect(bed);
  const channel = await connection.acquire();
  await channel.queueDeclare({ queue: 'q', durable: true, arguments: { 'x-max-length': 5 } });
  await channel.exchangeDeclare({ exchange: 'e', type: 'fanout' });
  await channel.exchangeBind({ source: 'e', destination: 'f' });
  await channel.confirmSelect();
  await channel.basicPublish(
    { routingKey: 'q', messageId: 'm', headers: { a: [1, { b: 'c' }] } },
    Buffer.alloc(50_000, 'z'),
  );
  const message = await channel.basicGet('q');
  expect(message!.body.length).toBe(50_000);
  expect(message!.messageId).toBe('m');
  expect(message!.headers).toEqual({ a: [1, { b: 'c' }] });
  await channel.close();
  const other = await connection.acquire();
  await other.txSelect();
  await other.txCommit();
  await other.txRollback();
  await other.close();
});

test('consumes, and opens its channels again after errors', async () => {
  const bed = await startBed();
  const connection = await connect(bed);
  const publisher = connection.createPublisher({ confirm: true });
  await publisher.send('q', { hello: 'world' });
  const bodies: unknown[] = [];
  const consumer = connection.createConsumer({ queue: 'q', qos: { prefetchCount: 1 } }, async (message) => {
    bodies.push(message.body);
  });
  await expect.poll(() => bodies).toEqual([{ hello: 'world' }]);
  await expect.poll(() => bed.backend.events.some((event) => event.startsWith('basic.ack'))).toBe(true);
  bed.backend.intercept = (method) => {
    if (method === 'queue.delete') throw new AmqpException('PRECONDITION_FAILED', 'not empty');
  };
  await expect(connection.queueDelete('q')).rejects.toThrow(/not empty/);
  bed.backend.intercept = () => {};
  await connection.queueDelete('q');
  await consumer.close();
  await publisher.close();
});

test('is told that its login is refused', async () => {
  const bed = await startBed();
  const connection = await connect(bed, 'wrong');
  const errors: Error[] = [];
  connection.on('error', (error) => errors.push(error as Error));
  await expect.poll(() => errors[0]?.message).toMatch(/ACCESS_REFUSED|refused/);
});
