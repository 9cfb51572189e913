/** Translates native requests about virtual hosts, exchanges, queues, bindings and policies. What fails, fails per entry. */
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import { decodeFieldTable, encodeFieldTable } from '../../../src/messages/field-table.ts';
import type { FieldTable } from '../../../src/messages/field-value.ts';
import type { RequestOf } from '../../../src/protocol/messages.ts';
import { type PackedDeliveries, PackedDeliveriesWriter } from '../../../src/protocol/packed-deliveries.ts';
import { type BindingDefinition, DESTINATION_KINDS } from '../../definitions/binding-definition.ts';
import { entry, type Handler, inOrder, namedEntry, pageOf, plainEntry, type Result, SUCCESS } from './handler.ts';

type QueueAdminMessage =
  | 'listVirtualHosts'
  | 'createVirtualHosts'
  | 'deleteVirtualHosts'
  | 'declareExchanges'
  | 'deleteExchanges'
  | 'listExchanges'
  | 'declareQueues'
  | 'deleteQueues'
  | 'purgeQueues'
  | 'listQueues'
  | 'bind'
  | 'unbind'
  | 'listBindings'
  | 'browseQueue'
  | 'setPolicies'
  | 'deletePolicies'
  | 'listPolicies';

export const queueHandlers: { readonly [N in QueueAdminMessage]: Handler<N> } = {
  listVirtualHosts({ queues }) {
    return { names: [...queues.service.listVirtualHosts()] };
  },

  async createVirtualHosts({ queues }, { names }) {
    const { service } = queues;
    return { virtualHosts: await inOrder(names, (name) => namedEntry(name, () => service.createVirtualHost(name))) };
  },

  async deleteVirtualHosts({ queues }, { names }) {
    const { service } = queues;
    return { virtualHosts: await inOrder(names, (name) => namedEntry(name, () => service.deleteVirtualHost(name))) };
  },

  async declareExchanges({ queues }, { virtualHost, exchanges }) {
    const session = queues.session(virtualHost);
    const declared = await inOrder(exchanges, ({ passive, ...exchange }) =>
      namedEntry(exchange.name, () => {
        if (passive) return session.checkExchange(exchange.name);
        return session.declareExchange({ ...exchange, arguments: tableOf(exchange.arguments) });
      }),
    );
    return { exchanges: declared };
  },

  async deleteExchanges({ queues }, { virtualHost, exchanges }) {
    const session = queues.session(virtualHost);
    const deleted = await inOrder(exchanges, ({ name, ifUnused }) =>
      namedEntry(name, () => session.deleteExchange(name, { ifUnused })),
    );
    return { exchanges: deleted };
  },

  listExchanges({ queues, limits }, { virtualHost, ...page }) {
    const exchanges = pageOf(queues.session(virtualHost).listExchanges(), page, limits.listedEntriesMax);
    return { exchanges: exchanges.map((each) => ({ ...each, arguments: encodeFieldTable(each.arguments) })) };
  },

  async declareQueues({ queues }, { virtualHost, queues: asked }) {
    const session = queues.session(virtualHost);
    const declared = await inOrder(asked, ({ passive, ...queue }) =>
      entry(
        async () => {
          const found = passive
            ? session.checkQueue(queue.name)
            : await session.declareQueue({ ...queue, arguments: tableOf(queue.arguments) });
          const { name, messageCount, consumerCount } = found;
          return { name, ...SUCCESS, messageCount, consumerCount };
        },
        { name: queue.name, messageCount: -1, consumerCount: -1 },
      ),
    );
    return { queues: declared };
  },

  async deleteQueues({ queues }, { virtualHost, queues: asked }) {
    const session = queues.session(virtualHost);
    const deleted = await inOrder(asked, ({ name, ...conditions }) =>
      countEntry(name, () => session.deleteQueue(name, conditions)),
    );
    return { queues: deleted };
  },

  async purgeQueues({ queues }, { virtualHost, names }) {
    const session = queues.session(virtualHost);
    return { queues: await inOrder(names, (name) => countEntry(name, () => session.purgeQueue(name))) };
  },

  listQueues({ queues, limits }, { virtualHost, ...page }) {
    const listed = pageOf(queues.session(virtualHost).listQueues(), page, limits.listedEntriesMax);
    return {
      queues: listed.map(({ failure, policy, ...queue }) => ({
        ...queue,
        arguments: encodeFieldTable(queue.arguments),
        policy: policy ?? null,
        failureErrorNumber: failure?.number ?? 0,
        failureMessage: failure?.message ?? null,
      })),
    };
  },

  async bind({ queues }, { virtualHost, bindings }) {
    const session = queues.session(virtualHost);
    return { bindings: await inOrder(bindings, (each) => plainEntry(() => session.bind(bindingOf(each)))) };
  },

  async unbind({ queues }, { virtualHost, bindings }) {
    const session = queues.session(virtualHost);
    return { bindings: await inOrder(bindings, (each) => plainEntry(() => session.unbind(bindingOf(each)))) };
  },

  listBindings({ queues, limits }, { virtualHost, ...page }) {
    const bindings = pageOf(queues.session(virtualHost).listBindings(), page, limits.listedEntriesMax);
    return {
      bindings: bindings.map(({ destinationKind, ...binding }) => ({
        ...binding,
        destinationKind: DESTINATION_KINDS.indexOf(destinationKind),
        arguments: encodeFieldTable(binding.arguments),
      })),
    };
  },

  async browseQueue({ queues, limits }, { virtualHost, queue, skip, limit, bytesMax }): Promise<BrowseAnswer> {
    const writer = new PackedDeliveriesWriter();
    const bytesEnd = Math.min(bytesMax, limits.pushFrameBytesMax);
    let isFull = false;
    await queues
      .session(virtualHost)
      .browseQueue(queue, { skip, limit: Math.min(limit, limits.browsedMessagesMax) }, (view) => {
        // The first comes however large it is.
        isFull ||= writer.count > 0 && writer.byteCount + view.bodyBytes > bytesEnd;
        // There is no delivery: the tag is the message's position, so that who reads on knows what to skip.
        if (!isFull) writer.append(skip + writer.count, 0, view);
      });
    return deliveriesOf(writer);
  },

  async setPolicies({ queues }, { virtualHost, policies }) {
    const session = queues.session(virtualHost);
    const set = await inOrder(policies, (policy) =>
      namedEntry(policy.name, () => session.setPolicy({ ...policy, definition: tableOf(policy.definition) })),
    );
    return { policies: set };
  },

  async deletePolicies({ queues }, { virtualHost, names }) {
    const session = queues.session(virtualHost);
    return { policies: await inOrder(names, (name) => namedEntry(name, () => session.deletePolicy(name))) };
  },

  listPolicies({ queues, limits }, { virtualHost, ...page }) {
    const policies = pageOf(queues.session(virtualHost).listPolicies(), page, limits.listedEntriesMax);
    return { policies: policies.map((each) => ({ ...each, definition: encodeFieldTable(each.definition) })) };
  },
};

type BrowseAnswer = Omit<PackedDeliveries, 'messages'> & { readonly messages: readonly Uint8Array[] };

export function deliveriesOf(writer: PackedDeliveriesWriter): BrowseAnswer {
  const { messages, ...rest } = writer.finish();
  return { ...rest, messages: [messages] };
}

/** Throws what is wrong with the bytes. */
export function tableOf(bytes: Uint8Array): FieldTable {
  try {
    return decodeFieldTable(bytes, 0, bytes.length);
  } catch (error) {
    throw new BurrowError('INVALID_ARGUMENT', 'The arguments are no AMQP field table.', { cause: error });
  }
}

function bindingOf(asked: RequestOf<'bind'>['bindings'][number]): BindingDefinition {
  const destinationKind = DESTINATION_KINDS[asked.destinationKind];
  if (destinationKind === undefined) {
    throw new BurrowError('INVALID_ARGUMENT', `destinationKind must be 0 to 2, not ${asked.destinationKind}.`);
  }
  return { ...asked, destinationKind, arguments: tableOf(asked.arguments) };
}

function countEntry(name: string, work: () => Promise<number>) {
  return entry<Result & { name: string; messageCount: number }>(
    async () => ({ name, ...SUCCESS, messageCount: await work() }),
    { name, messageCount: -1 },
  );
}
