/** What the handlers of native requests have in common: what they are given, and how failures become answers. */
import { toBurrowError } from '../../../src/errors/burrow-error.ts';
import type { MessageName, RequestOf, ResponseOf } from '../../../src/protocol/messages.ts';
import type { GroupService } from '../../groups/group-service.ts';
import type { BrokerService } from '../../partitions/broker-service.ts';
import type { Clock } from '../../ports/clock.ts';
import type { UserService } from '../../security/user-service.ts';
import type { NativeLimits } from './native-limits.ts';
import type { QueueSessions } from './queue-sessions.ts';

export interface HandlerContext {
  readonly service: BrokerService;
  readonly groups: GroupService;
  /** Undefined where there are none. */
  readonly users: UserService | undefined;
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
  'hello' | 'authenticate' | 'fetch' | 'cancelFetch' | StreamMessage | QueueChannelMessage
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

/** What became of one entry. */
export interface Result {
  readonly errorNumber: number;
  readonly message: string | null;
}

export function plainEntry(work: () => Promise<void>): Promise<Result> {
  return entry<Result>(async () => {
    await work();
    return SUCCESS;
  }, {});
}

export function namedEntry(name: string, work: () => Promise<void> | void) {
  return entry<Result & { name: string }>(
    async () => {
      await work();
      return { name, ...SUCCESS };
    },
    { name },
  );
}

/** One after the other: each may need what the one before it has made. */
export async function inOrder<T, R>(asked: readonly T[], answer: (each: T) => Promise<R>): Promise<R[]> {
  const answers: R[] = [];
  for (const each of asked) answers.push(await answer(each));
  return answers;
}

/** A part of what there is. */
export function pageOf<T>(
  all: readonly T[],
  { skip, limit }: { skip: number; limit: number },
  limitMax: number,
): readonly T[] {
  return all.slice(skip, skip + Math.min(limit, limitMax));
}
