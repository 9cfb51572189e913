/** What the handlers of native requests have in common: what they are given, and how failures become answers. */
import { toBurrowError } from '../../../src/errors/burrow-error.ts';
import type { MessageName, RequestOf, ResponseOf } from '../../../src/protocol/messages.ts';
import type { GroupService } from '../../groups/group-service.ts';
import type { BrokerService } from '../../partitions/broker-service.ts';
import type { Clock } from '../../ports/clock.ts';
import type { NativeLimits } from './native-limits.ts';
import type { QueueSessions } from './queue-sessions.ts';

export interface HandlerContext {
  readonly service: BrokerService;
  readonly groups: GroupService;
  readonly queues: QueueSessions;
  readonly clock: Clock;
  readonly limits: NativeLimits;
  /** Who asks. */
  readonly peer: Peer;
}

export interface Peer {
  readonly clientId: string;
  /** Its address. */
  readonly host: string;
}

/** Of push streams; what they ask for is answered by `push-streams.ts`. */
export type StreamMessage = 'openStream' | 'changeStream' | 'addCredit' | 'closeStream';

/** Of channels of queues; what they ask for is answered by `queue-channels.ts`. */
export type QueueChannelMessage =
  | 'openChannel'
  | 'closeChannel'
  | 'publish'
  | 'consume'
  | 'cancelConsumer'
  | 'settle'
  | 'getMessage'
  | 'addDeliveryCredit';

/** Messages that are answered by a function of the request alone; the others need the connection. */
export type SimpleMessage = Exclude<
  MessageName,
  'hello' | 'fetch' | 'cancelFetch' | StreamMessage | QueueChannelMessage
>;

export type Handler<N extends SimpleMessage> = (
  context: HandlerContext,
  request: RequestOf<N>,
) => ResponseOf<N> | Promise<ResponseOf<N>>;

export const SUCCESS = { errorNumber: 0, message: null } as const;

export function failure(error: unknown): { errorNumber: number; message: string } {
  const typed = toBurrowError(error);
  return { errorNumber: typed.number, message: typed.message };
}

/** Runs one entry of a request; a failure becomes its answer. */
export async function entry<T>(work: () => Promise<T> | T, failed: Omit<T, 'errorNumber' | 'message'>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    return { ...failed, ...failure(error) } as T;
  }
}

/** A name asked for a thousand times is answered once: answers can be thousands of times as large as what asks for them. */
export function unique(names: readonly string[]): string[] {
  return [...new Set(names)];
}
