/** An exchange as a client uses it: declare, bind, publish. */
import { checkAmqpName, checkRoutingKey } from '../../src/names.ts';
import { type HeadersInput, toFieldTable } from './field-values.ts';
import { bodyBytes, encodeMessageOptions, type MessageBody, type MessageOptions } from './message-options.ts';
import type { BrowsedMessage } from './queue-message.ts';
import { type ExchangeOptions, exchangeArguments } from './queue-options.ts';
import { type BindingInfo, bindRequest, declareExchangeRequest, deleteExchangeRequest } from './queue-requests.ts';
import type { VirtualHost } from './virtual-host.ts';

export interface PublishOptions extends MessageOptions {
  /** Default ''. */
  readonly routingKey?: string | undefined;
  /** Rejects with UNROUTABLE if no queue takes the message; otherwise that counts as success. Default false. */
  readonly mandatory?: boolean | undefined;
}

/** Use `client.exchange(name)`. Making one asks nothing of the broker. */
export class Exchange {
  /** Empty for the default exchange, which hands a message to the queue that its routing key names. */
  readonly name: string;
  readonly host: VirtualHost;

  constructor(host: VirtualHost, name: string) {
    checkAmqpName(name, 'exchange');
    this.name = name;
    this.host = host;
  }

  /** Rejects with DECLARED_DIFFERENTLY if it exists otherwise; an equal one is fine. */
  async declare(options: ExchangeOptions = {}): Promise<this> {
    const { type = 'direct', durable = true, autoDelete = false, internal = false } = options;
    const declared = { name: this.name, type, durable, autoDelete, internal, arguments: exchangeArguments(options) };
    await declareExchangeRequest(this.host.target(), { ...declared, passive: false });
    return this;
  }

  /** Rejects with EXCHANGE_NOT_FOUND if it is not there. */
  async check(): Promise<void> {
    const unused = { type: '', durable: true, autoDelete: false, internal: false, arguments: new Map() };
    await this.host.read((target) => declareExchangeRequest(target, { ...unused, name: this.name, passive: true }));
  }

  /** Nothing if it is not there. Rejects with IN_USE, ACCESS_REFUSED. */
  async delete(options: { readonly ifUnused?: boolean } = {}): Promise<void> {
    await deleteExchangeRequest(this.host.target(), this.name, options.ifUnused === true);
  }

  /** What `source` gets with this key goes here, too. */
  async bind(source: Exchange | string, bindingKey = '', bindingArguments: HeadersInput = {}): Promise<void> {
    await bindRequest(this.host.target(), 'bind', this.#binding(source, bindingKey, bindingArguments));
  }

  async unbind(source: Exchange | string, bindingKey = '', bindingArguments: HeadersInput = {}): Promise<void> {
    await bindRequest(this.host.target(), 'unbind', this.#binding(source, bindingKey, bindingArguments));
  }

  /**
   * Resolves when the broker has confirmed the message: every queue that it went to has stored it. Messages of one turn leave together;
   * so publish many before waiting. Rejects with EXCHANGE_NOT_FOUND, QUEUE_FULL, UNROUTABLE, BUFFER_FULL, INVALID_ARGUMENT;
   * DELIVERY_TIMEOUT if the outcome is unknown.
   */
  publish(body: MessageBody, options: PublishOptions = {}): Promise<void> {
    const { routingKey = '', mandatory = false } = options;
    try {
      checkRoutingKey(routingKey);
      return this.host.publisher.publish(
        this.name,
        routingKey,
        encodeMessageOptions(options),
        bodyBytes(body),
        mandatory,
      );
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Publishes a message as it came, with all of its properties. `routingKey` is the message's unless given. */
  forward(message: BrowsedMessage, options: Pick<PublishOptions, 'routingKey' | 'mandatory'> = {}): Promise<void> {
    const { routingKey = message.routingKey, mandatory = false } = options;
    try {
      checkRoutingKey(routingKey);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.host.publisher.publish(this.name, routingKey, message.propertyBytes, message.body, mandatory);
  }

  #binding(source: Exchange | string, bindingKey: string, bindingArguments: HeadersInput): BindingInfo {
    return {
      source: typeof source === 'string' ? source : source.name,
      destinationKind: 'exchange',
      destination: this.name,
      bindingKey,
      arguments: toFieldTable(bindingArguments),
    };
  }
}
