/** What a client must not do, the exact reply code that it gets for it, and that nothing else ends with the channel. */
import { expect } from 'vitest';
import { type ClientChannel, type Feature, ReplyError } from '../client-adapter.ts';
import type { ScenarioBed } from '../scenario-bed.ts';
import type { Scenario } from './scenario.ts';

interface ChannelException {
  readonly name: string;
  readonly needs: readonly Feature[];
  readonly code: number;
  readonly text: RegExp;
  /** In a channel of its own; with a queue that is there, and a name that nothing has. */
  cause(channel: ClientChannel, queue: string, missing: string, bed: ScenarioBed): Promise<unknown>;
}

const BODY = Buffer.from('x');

const CHANNEL_EXCEPTIONS: readonly ChannelException[] = [
  {
    name: 'gets from a queue that is not there',
    needs: [],
    code: 404,
    text: /NOT_FOUND - no queue '.+' in vhost '\/'/,
    cause: (channel, _, missing) => channel.get(missing, { noAck: true }),
  },
  {
    name: 'consumes from a queue that is not there',
    needs: [],
    code: 404,
    text: /NOT_FOUND - no queue '.+' in vhost '\/'/,
    cause: (channel, _, missing) => channel.consume(missing),
  },
  {
    name: 'declares a queue passively that is not there',
    needs: ['passive'],
    code: 404,
    text: /NOT_FOUND - no queue '.+' in vhost '\/'/,
    cause: (channel, _, missing) => channel.checkQueue(missing),
  },
  {
    name: 'declares an exchange passively that is not there',
    needs: ['passive', 'exchanges'],
    code: 404,
    text: /NOT_FOUND - no exchange '.+' in vhost '\/'/,
    cause: (channel, _, missing) => channel.checkExchange(missing),
  },
  {
    name: 'publishes to an exchange that is not there',
    needs: ['exchanges'],
    code: 404,
    text: /NOT_FOUND - no exchange '.+' in vhost '\/'/,
    cause: (channel, _, missing) => channel.publish({ exchange: missing, routingKey: '', body: BODY }),
  },
  {
    name: 'binds a queue to an exchange that is not there',
    needs: ['exchanges'],
    code: 404,
    text: /NOT_FOUND - no exchange '.+' in vhost '\/'/,
    cause: (channel, queue, missing) => channel.bindQueue(queue, missing, ''),
  },
  {
    name: 'declares a queue again that was durable, as transient',
    needs: [],
    code: 406,
    text: /PRECONDITION_FAILED - inequivalent arg 'durable' for queue '.+' in vhost '\/'/,
    cause: (channel, queue) => channel.declareQueue(queue, { durable: false }),
  },
  {
    name: 'declares a queue again with other arguments',
    needs: ['arguments'],
    code: 406,
    text: /PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '.+' in vhost '\/'/,
    cause: (channel, queue) => channel.declareQueue(queue, { arguments: { 'x-max-length': 5 } }),
  },
  {
    name: 'declares an exchange again as another type',
    needs: ['exchanges'],
    code: 406,
    text: /PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.direct' in vhost '\/'/,
    cause: (channel) => channel.declareExchange('amq.direct', 'fanout'),
  },
  {
    name: 'declares a queue with arguments that make no sense',
    needs: ['arguments'],
    code: 406,
    text: /PRECONDITION_FAILED - .*x-message-ttl/,
    cause: (channel, _, missing) => channel.declareQueue(missing, { arguments: { 'x-message-ttl': -1 } }),
  },
  {
    name: 'declares a queue with a reserved name',
    needs: [],
    code: 403,
    text: /ACCESS_REFUSED - .*'amq\./,
    cause: (channel) => channel.declareQueue('amq.mine'),
  },
  {
    name: 'acknowledges what was not delivered',
    needs: ['settling'],
    code: 406,
    text: /PRECONDITION_FAILED - unknown delivery tag 9/,
    cause: (channel) => channel.ack(9),
  },
  {
    name: 'acknowledges twice',
    needs: ['settling'],
    code: 406,
    text: /PRECONDITION_FAILED - unknown delivery tag 1/,
    async cause(channel, queue, _, bed) {
      await bed.fill(queue, ['a']);
      const message = await channel.get(queue, { noAck: false });
      await channel.ack(message!.deliveryTag);
      await channel.ack(message!.deliveryTag);
    },
  },
  {
    name: 'publishes with an expiration that is no number',
    needs: ['properties'],
    code: 406,
    text: /PRECONDITION_FAILED - invalid expiration/,
    cause: (channel, queue) => channel.publish({ routingKey: queue, body: BODY, properties: { expiration: 'soon' } }),
  },
  {
    name: "publishes in another user's name",
    needs: ['properties'],
    code: 406,
    text: /PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user was 'guest'/,
    cause: (channel, queue) => channel.publish({ routingKey: queue, body: BODY, properties: { userId: 'somebody' } }),
  },
  {
    name: 'consumes beside an exclusive consumer',
    needs: ['exclusiveConsumers', 'lifeCycles'],
    code: 403,
    text: /ACCESS_REFUSED - .*exclusive/,
    async cause(channel, queue, _, bed) {
      await (await bed.channel()).consume(queue, { exclusive: true });
      await channel.consume(queue);
    },
  },
  {
    name: 'deletes a queue that is not to be deleted while it has messages',
    needs: [],
    code: 406,
    text: /PRECONDITION_FAILED - queue '.+' in vhost '\/' (?:is )?not empty/,
    async cause(channel, queue, _, bed) {
      await bed.fill(queue, ['a']);
      await channel.deleteQueue(queue, { ifEmpty: true });
    },
  },
  {
    name: 'deletes a queue that is not to be deleted while it is used',
    needs: [],
    code: 406,
    text: /PRECONDITION_FAILED - queue '.+' in vhost '\/' (?:is )?in use/,
    async cause(channel, queue, _, bed) {
      await (await (await bed.other()).createChannel()).consume(queue, () => {});
      await channel.deleteQueue(queue, { ifUnused: true });
    },
  },
];

function closesTheChannel({ name, needs, code, text, cause }: ChannelException): Scenario {
  return {
    name: `has its channel closed with ${code}, and nothing else, when it ${name}`,
    needs,
    async run(bed) {
      const { channel, queue } = await bed.channelAndQueue();
      const error = await bed.channelError((own) => cause(own, queue, bed.name('missing'), bed));
      expect(error.code).toBe(code);
      expect(error.message).toMatch(text);
      expect(await channel.declareQueue(queue)).toMatchObject({ queue });
    },
  };
}

function refusesTheConnection(
  name: string,
  code: number,
  options: Parameters<ScenarioBed['connect']>[0],
  needs: readonly Feature[] = [],
): Scenario {
  return {
    name: `is refused with ${code} when it connects with ${name}`,
    needs,
    async run(bed) {
      const error = await bed.connect(options).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(ReplyError);
      expect((error as ReplyError).code).toBe(code);
    },
  };
}

export const EXCEPTIONS: readonly Scenario[] = [
  ...CHANNEL_EXCEPTIONS.map(closesTheChannel),
  refusesTheConnection('a wrong password', 403, { password: 'wrong' }),
  refusesTheConnection('a virtual host that is not there', 530, { virtualHost: 'missing' }, ['openRefusals']),
];
