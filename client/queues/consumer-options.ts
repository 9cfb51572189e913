/** How a queue is consumed. */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { choiceOption, integerOption } from '../options.ts';
import { type HeadersInput, toFieldTable } from './field-values.ts';
import type { QueueMessage } from './queue-message.ts';

/** Called for each message. With `ack: 'auto'`, what it returns or throws (a promise too) settles the message. */
export type MessageHandler = (message: QueueMessage) => unknown;

export interface ConsumeOptions {
  /** Deliveries that may be under way or in work. Default 250. */
  readonly prefetch?: number;
  /** Handlers that may run at the same time. Default 1: messages are processed in their order. */
  readonly concurrency?: number;
  /**
   * 'auto' (default): a handler that returns acknowledges, one that throws requeues or rejects. 'manual': call ack(), requeue() or reject() of
   * each message. 'none': messages are gone once they are sent, whatever becomes of them.
   */
  readonly ack?: 'auto' | 'manual' | 'none';
  /**
   * What becomes of a message whose handler throws. Default 'requeue': it comes again, at once and without end, unless the queue has a
   * deliveryLimit or a delayed retry.
   */
  readonly onThrow?: 'requeue' | 'reject';
  /** Consumers of higher priority are served first. Default 0. */
  readonly priority?: number;
  /** Nobody else may consume the queue. Default false. */
  readonly exclusive?: boolean;
  /** Further arguments, by their AMQP names, such as x-stream-offset. */
  readonly arguments?: HeadersInput;
  /** Told what a handler threw, and why the consumer had to subscribe again. Must not throw. */
  readonly onError?: (error: unknown, message: QueueMessage | undefined) => void;
}

export interface ConsumerSettings {
  readonly prefetch: number;
  readonly concurrency: number;
  readonly ack: 'auto' | 'manual' | 'none';
  readonly onThrow: 'requeue' | 'reject';
  readonly exclusive: boolean;
  readonly table: ReturnType<typeof toFieldTable>;
  readonly onError: NonNullable<ConsumeOptions['onError']>;
}

/** @throws BurrowError INVALID_ARGUMENT */
export function consumerSettings(options: ConsumeOptions): ConsumerSettings {
  const prefetch = integerOption('prefetch', options.prefetch, { fallback: 250, min: 1, max: 1_000_000 });
  const concurrency = integerOption('concurrency', options.concurrency, { fallback: 1, min: 1, max: 100_000 });
  if (concurrency > prefetch) {
    throw new BurrowError('INVALID_ARGUMENT', `concurrency (${concurrency}) cannot exceed prefetch (${prefetch}).`);
  }
  const table = new Map(toFieldTable(options.arguments ?? {}));
  if (options.priority !== undefined) {
    const bounds = { fallback: 0, min: -0x8000_0000, max: 0x7fff_ffff };
    table.set('x-priority', integerOption('priority', options.priority, bounds));
  }
  return {
    prefetch,
    concurrency,
    ack: choiceOption('ack', options.ack, ['auto', 'manual', 'none'], 'auto'),
    onThrow: choiceOption('onThrow', options.onThrow, ['requeue', 'reject'], 'requeue'),
    exclusive: options.exclusive === true,
    table,
    onError: options.onError ?? (() => {}),
  };
}
