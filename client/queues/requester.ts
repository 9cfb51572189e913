/**
 * Asks a question by a message and waits for the answer: every question carries a correlation id and names a reply queue, one for all
 * questions of this client, exclusive to it. The other side answers with {@link QueueMessage.reply}, or as any AMQP service does.
 */
import { BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import type { ClientClock, ClientTimer } from '../clock.ts';
import type { Queue } from './queue.ts';
import type { QueueConsumer } from './queue-consumer.ts';
import type { QueueMessage } from './queue-message.ts';

interface Question {
  readonly resolve: (answer: QueueMessage) => void;
  readonly reject: (error: BurrowError) => void;
  readonly timer: ClientTimer;
}

/** Answers that may be on their way at once. */
const ANSWERS_PREFETCH = 1000;

export class Requester {
  readonly #clock: ClientClock;
  readonly #queue: Queue;
  /** Ids of one client must not be those of another that asks by the same name. */
  readonly #prefix: string;
  readonly #questions = new Map<string, Question>();
  #nextId = 1;
  #consumer: Promise<QueueConsumer> | undefined;

  /** @param queue - without a name, not declared yet */
  constructor(clock: ClientClock, queue: Queue) {
    this.#clock = clock;
    this.#queue = queue;
    this.#prefix = `${Math.floor(clock.random() * 2 ** 32).toString(36)}-`;
  }

  /** `publish` sends the question with these properties. Rejects with REQUEST_TIMED_OUT, CONNECTION_LOST, or why it could not be published. */
  async ask(
    publish: (properties: { readonly correlationId: string; readonly replyTo: string }) => Promise<void>,
    timeoutMs: number,
  ): Promise<QueueMessage> {
    await this.#ready();
    const correlationId = this.#prefix + String(this.#nextId++);
    const answer = new Promise<QueueMessage>((resolve, reject) => {
      const timer = this.#clock.schedule(timeoutMs, () => {
        this.#questions.delete(correlationId);
        reject(new BurrowError('REQUEST_TIMED_OUT', `No answer within ${timeoutMs} ms.`));
      });
      this.#questions.set(correlationId, { resolve, reject, timer });
    });
    publish({ correlationId, replyTo: this.#queue.name }).catch((error: unknown) => {
      this.#take(correlationId)?.reject(toBurrowError(error));
    });
    return answer;
  }

  close(): void {
    this.#failAll(new BurrowError('CLIENT_CLOSED', 'The client was closed.'));
  }

  async #ready(): Promise<void> {
    this.#consumer ??= this.#consume();
    try {
      await this.#consumer;
    } catch (error) {
      this.#consumer = undefined;
      throw error;
    }
  }

  async #consume(): Promise<QueueConsumer> {
    await this.#queue.declare({ exclusive: true });
    const consumer = await this.#queue.consume((message) => this.#onAnswer(message), {
      ack: 'none',
      prefetch: ANSWERS_PREFETCH,
      onError: (error) => this.#onLost(toBurrowError(error)),
    });
    void consumer.ended.then((error) => error !== undefined && this.#onLost(error));
    return consumer;
  }

  /** The queue is lost with its connection, and with it the answers that were in it or still come. The next question makes another. */
  #onLost(error: BurrowError): void {
    const lost = this.#consumer;
    this.#consumer = undefined;
    lost?.then((consumer) => consumer.close({ timeoutMs: 0 })).catch(() => {});
    this.#failAll(error);
  }

  #onAnswer(message: QueueMessage): void {
    const { correlationId } = message.properties;
    // Late answers, and those to nobody, are dropped.
    if (correlationId !== undefined) this.#take(correlationId)?.resolve(message);
  }

  #take(correlationId: string): Question | undefined {
    const question = this.#questions.get(correlationId);
    this.#questions.delete(correlationId);
    question?.timer.cancel();
    return question;
  }

  #failAll(error: BurrowError): void {
    for (const id of [...this.#questions.keys()]) this.#take(id)?.reject(error);
  }
}
