/**
 * What an API is to the listener: a key, two message tables and a handler. Adding one takes a table in `schema/`, a
 * handler in `apis/` and a line in `api-registry.ts`.
 *
 * Handlers translate and nothing more. A handler is called in the order in which requests arrive and must make its calls
 * on the service before its first `await`, so that pipelined requests take effect in that order. What it throws closes
 * the connection; errors that a client should see go into the response.
 */
import type { GroupService } from '../../groups/group-service.ts';
import type { BrokerAddress, BrokerService } from '../../partitions/broker-service.ts';
import type { Logger } from '../../ports/logger.ts';
import { compileMessage } from './codec.ts';
import type { KafkaLimits } from './limits.ts';
import type { MessageReader } from './message-reader.ts';
import type { MessageWriter } from './message-writer.ts';
import type { Decoded, Encodable, Fields, MessageTable, VersionRange } from './schema/field.ts';

/** An API as ApiVersions announces it. */
export interface AnnouncedApi {
  readonly key: number;
  readonly versions: VersionRange;
}

export interface RequestContext {
  readonly service: BrokerService;
  readonly groups: GroupService;
  readonly version: number;
  readonly clientId: string | null;
  /** Its address, in the form of Kafka's descriptions: `/127.0.0.1`. */
  readonly clientHost: string;
  readonly limits: KafkaLimits;
  readonly logger: Logger;
  readonly announcedApis: readonly AnnouncedApi[];
  /** All brokers, at the addresses where this client reaches them. */
  brokers(): readonly BrokerAddress[];
  /** Sets what to call if the client goes away, or the listener closes, before the request is answered. */
  onCancel(cancel: () => void): void;
}

/** An API with the types of its messages forgotten, as the connection uses it. */
export interface Api extends AnnouncedApi {
  readonly name: string;
  readonly flexibleSince: number;
  /** One at a time per connection, since its responses are large. */
  readonly serial: boolean;
  decode(reader: MessageReader, version: number): unknown;
  /** The response; undefined if the client expects none. */
  handle(request: unknown, context: RequestContext): unknown;
  encode(writer: MessageWriter, version: number, response: unknown): void;
}

export interface ApiDefinition<Q extends Fields, R extends Fields> {
  readonly key: number;
  readonly name: string;
  readonly request: MessageTable<Q>;
  readonly response: MessageTable<R>;
  readonly serial?: boolean;
  handle(
    request: Decoded<Q>,
    context: RequestContext,
  ): Encodable<R> | undefined | Promise<Encodable<R>> | Promise<Encodable<R> | undefined>;
}

export function defineApi<Q extends Fields, R extends Fields>(definition: ApiDefinition<Q, R>): Api {
  const request = compileMessage(definition.request);
  const response = compileMessage(definition.response);
  return {
    key: definition.key,
    name: definition.name,
    versions: definition.request.versions,
    flexibleSince: definition.request.flexibleSince,
    serial: definition.serial ?? false,
    decode: request.decode,
    handle: (message, context) => definition.handle(message as Decoded<Q>, context),
    encode: (writer, version, message) => response.encode(writer, version, message as Encodable<R>),
  };
}
