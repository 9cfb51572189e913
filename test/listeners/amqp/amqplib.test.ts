/** amqplib against the listener; what is behind the protocol is imitated. */
import amqplib from 'amqplib';
import { describe, expect, onTestFinished, test } from 'vitest';
import { AmqpException } from '../../../broker/listeners/amqp/reply-codes.ts';
import { type ListenerBed, startBed } from './listener-bed.ts';

async function connect({ listener }: ListenerBed, options: { query?: string; login?: string } = {}) {
  const url = `amqp://${options.login ?? 'guest:guest'}@127.0.0.1:${listener.port}${options.query ?? ''}`;
  const connection = await amqplib.connect(url);
  connection.on('error', () => {});
  onTestFinished(async () => {
    await connection.close().catch(() => {});
  });
  return connection;
}

describe('amqplib', () => {
  test('connects, declares, publishes with confirms, consumes and gets', async () => {
    const bed = await startBed();
    const connection = await connect(bed);
    const channel = await connection.createConfirmChannel();
    await channel.assertExchange('e', 'topic', { durable: true, arguments: { 'alternate-exchange': 'other' } });
    await channel.assertQueue('q', { messageTtl: 1000, deadLetterExchange: 'dlx' });
    await channel.bindQueue('q', 'e', 'a.*', { x: 1 });
    await channel.prefetch(10);
    const body = Buffer.alloc(300_000, 'x');
    const options = {
      deliveryMode: 2,
      priority: 3,
      expiration: 60_000,
      messageId: 'm',
      timestamp: 1_700_000_000,
      headers: { text: 'ä', int: 7, big: 2 ** 40, no: null, yes: true, list: [1, 'a'], table: { x: { y: 1.5 } } },
    };
    channel.publish('e', 'a.b', body, options);
    channel.sendToQueue('q', Buffer.alloc(0));
    await channel.waitForConfirms();
    const received: amqplib.ConsumeMessage[] = [];
    await channel.consume('q', (message) => {
      received.push(message!);
      channel.ack(message!);
    });
    await expect.poll(() => received.length).toBe(2);
    expect(received[0]!.content.equals(body)).toBe(true);
    expect(received[0]!.fields).toMatchObject({ deliveryTag: 1, routingKey: 'a.b', redelivered: false });
    expect(received[0]!.properties).toMatchObject({ ...options, expiration: '60000' });
    expect(received[1]!.content.length).toBe(0);
    const got = await channel.get('q');
    expect(got).toMatchObject({ content: body, fields: { messageCount: 1 } });
    await channel.get('q');
    expect(await channel.get('q')).toBe(false);
    await channel.cancel(received[0]!.fields.consumerTag);
    await channel.recover();
    await channel.purgeQueue('q');
    await channel.unbindQueue('q', 'e', 'a.*');
    await channel.deleteQueue('q');
    await channel.deleteExchange('e');
    await channel.close();
    await connection.close();
    expect(bed.backend.events.filter((event) => event.startsWith('basic.ack'))).toHaveLength(2);
    expect(bed.backend.events.slice(-2)).toEqual(['close 1', 'session closed']);
  });

  test.each(['?frameMax=4096', '?frameMax=0', '?channelMax=1&heartbeat=5'])('negotiates %s', async (query) => {
    const bed = await startBed();
    const connection = await connect(bed, { query });
    const channel = await connection.createConfirmChannel();
    channel.sendToQueue('q', Buffer.alloc(50_000, 'y'));
    await channel.waitForConfirms();
    expect(bed.backend.messages[0]!.body.length).toBe(50_000);
  });

  test('loses a channel to an error, and goes on with others', async () => {
    const bed = await startBed();
    bed.backend.intercept = (method) => {
      if (method === 'queue.purge') throw new AmqpException('NOT_FOUND', "no queue 'q' in vhost '/'");
    };
    const connection = await connect(bed);
    const channel = await connection.createChannel();
    channel.on('error', () => {});
    await expect(channel.purgeQueue('q')).rejects.toThrow(/404 \(NOT-FOUND\).*no queue 'q'/);
    const other = await connection.createChannel();
    await other.assertQueue('q');
  });

  test('is told that its login is refused, and that a virtual host is not there', async () => {
    const bed = await startBed();
    await expect(connect(bed, { login: 'guest:wrong' })).rejects.toThrow(/403 \(ACCESS-REFUSED\)/);
    await expect(connect(bed, { query: '/none' })).rejects.toThrow(/got <ConnectionClose channel:0>/);
  });

  test('hears that publishers are stopped, and that the broker stops', async () => {
    const bed = await startBed();
    const connection = await connect(bed);
    const heard: string[] = [];
    connection.on('blocked', (reason) => heard.push(`blocked ${reason}`));
    connection.on('unblocked', () => heard.push('unblocked'));
    connection.on('close', (error) => heard.push(`closed ${error}`));
    bed.listener.setBlocked('low on disk');
    await expect.poll(() => heard).toEqual(['blocked low on disk']);
    bed.listener.setBlocked(undefined);
    await bed.listener.close();
    await expect.poll(() => heard.length).toBe(3);
    expect(heard[2]).toMatch(/320 \(CONNECTION-FORCED\)/);
  });
});
