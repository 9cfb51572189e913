/**
 * Where this broker deliberately does not do what RabbitMQ 3.10 does, line by line: `- ` what only RabbitMQ sends, `+ ` what only this
 * broker does. Why is told in docs/rabbitmq-differences.md, one row per `id`.
 */

export interface Difference {
  /** As in the table of docs/rabbitmq-differences.md. */
  readonly id: string;
  /** Expected diffs by name of the scenario. */
  readonly scenarios: { readonly [name: string]: readonly string[] };
}

/** Headers of dead letters that RabbitMQ has only had since 3.13. */
const LAST_DEATH = /, x-last-death-(?:exchange|queue|reason): "[^"]*"/g;

/** A line of this broker's transcript without what is allowed in all of them. */
export function withoutAllowed(line: string): string {
  return line.replace(LAST_DEATH, '');
}

/** What may differ in a scenario. */
export function allowedDiff(scenario: string): readonly string[] {
  for (const { scenarios } of DIFFERENCES) if (Object.hasOwn(scenarios, scenario)) return scenarios[scenario]!;
  return [];
}

export const DIFFERENCES: readonly Difference[] = [
  {
    id: 'no-0-8',
    scenarios: {
      'protocol header: of AMQP 0-8': [
        '- a0 | connection.start versionMajor=8 versionMinor=0 serverProperties={capabilities: {}, cluster_name, copyright, information, platform, product, version} mechanisms=AMQPLAIN PLAIN locales=en_US',
        '+ a0 | protocol header 414d515000000901',
      ],
    },
  },
  {
    id: 'told-before-open',
    scenarios: {
      'login: an unknown mechanism': [
        '+ a0 | connection.close replyCode=403 replyText=ACCESS_REFUSED classId=0 methodId=0',
      ],
      'login: a mechanism in small letters': [
        '+ a0 | connection.close replyCode=403 replyText=ACCESS_REFUSED classId=0 methodId=0',
      ],
      'login: EXTERNAL without TLS': [
        '+ a0 | connection.close replyCode=403 replyText=ACCESS_REFUSED classId=0 methodId=0',
      ],
      'login: PLAIN with an identity to act as': [
        '+ a0 | connection.close replyCode=403 replyText=ACCESS_REFUSED classId=0 methodId=0',
      ],
      'login: PLAIN without separators': [
        '+ a0 | connection.close replyCode=403 replyText=ACCESS_REFUSED classId=0 methodId=0',
      ],
      'login: PLAIN with too few parts': [
        '+ a0 | connection.close replyCode=403 replyText=ACCESS_REFUSED classId=0 methodId=0',
      ],
      'login: PLAIN with too many parts': [
        '+ a0 | connection.close replyCode=403 replyText=ACCESS_REFUSED classId=0 methodId=0',
      ],
      'login: AMQPLAIN that is no table': [
        '+ a0 | connection.close replyCode=403 replyText=ACCESS_REFUSED classId=0 methodId=0',
      ],
      'login: AMQPLAIN of an empty table': [
        '+ a0 | connection.close replyCode=403 replyText=ACCESS_REFUSED classId=0 methodId=0',
      ],
      'tune: frames below the smallest': [
        "+ a0 | connection.close replyCode=530 replyText=NOT_ALLOWED 'frame_max' classId=10 methodId=31",
      ],
      'tune: larger frames than offered': [
        "+ a0 | connection.close replyCode=530 replyText=NOT_ALLOWED 'frame_max' classId=10 methodId=31",
      ],
      'tune: more channels than offered': [
        "+ a0 | connection.close replyCode=530 replyText=NOT_ALLOWED 'channel_max' classId=10 methodId=31",
      ],
      'handshake: open instead of tune-ok': [
        '+ a0 | connection.close replyCode=504 replyText=CHANNEL_ERROR classId=10 methodId=40',
      ],
      'handshake: channel.open instead of tune-ok': [
        '+ a0 | connection.close replyCode=505 replyText=UNEXPECTED_FRAME classId=0 methodId=0',
      ],
      'handshake: a content header instead of tune-ok': [
        '+ a0 | connection.close replyCode=505 replyText=UNEXPECTED_FRAME classId=0 methodId=0',
      ],
    },
  },
  {
    id: 'zero-is-no-limit',
    scenarios: {
      'tune: unlimited channels': ['+ a0 | connection.open-ok'],
      'tune: unlimited frames': ['+ a0 | connection.open-ok'],
    },
  },
  {
    id: 'close-at-any-time',
    scenarios: {
      'handshake: close instead of start-ok': ['+ a0 | connection.close-ok'],
      'handshake: close instead of tune-ok': ['+ a0 | connection.close-ok'],
      'handshake: close instead of open': [
        '- a0 | connection.close replyCode=504 replyText=CHANNEL_ERROR classId=10 methodId=50',
        '+ a0 | connection.close-ok',
      ],
    },
  },
  {
    id: 'broken-frames',
    scenarios: {
      'fatal: an unknown method': [
        '+ a0 | connection.close replyCode=540 replyText=NOT_IMPLEMENTED classId=0 methodId=0',
      ],
      'fatal: an unknown class': [
        '+ a0 | connection.close replyCode=540 replyText=NOT_IMPLEMENTED classId=0 methodId=0',
      ],
      'fatal: an unknown method on channel 0': [
        '+ a0 | connection.close replyCode=540 replyText=NOT_IMPLEMENTED classId=0 methodId=0',
      ],
      'fatal: a table with an unknown type of field': [
        '+ a0 | connection.close replyCode=501 replyText=FRAME_ERROR classId=50 methodId=10',
      ],
      'fatal: basic.deliver from a client, and a method amid its content': [
        '- a0 | connection.close replyCode=505 replyText=UNEXPECTED_FRAME classId=60 methodId=60',
        '+ a0 | connection.close replyCode=503 replyText=COMMAND_INVALID classId=60 methodId=60',
      ],
      'fatal: a body that is longer than its header says, and a method': [
        '- a0 | connection.close replyCode=505 replyText=UNEXPECTED_FRAME classId=60 methodId=40',
        '+ a0 | connection.close replyCode=501 replyText=FRAME_ERROR classId=60 methodId=40',
      ],
      'fatal: a content header that is cut off': [
        '- a0 | connection.close replyCode=501 replyText=FRAME_ERROR classId=0 methodId=0',
        '+ a0 | connection.close replyCode=501 replyText=FRAME_ERROR classId=60 methodId=40',
      ],
      'fatal: properties that are cut off': [
        '- a0 | connection.close replyCode=541 replyText=INTERNAL_ERROR classId=0 methodId=0',
        '+ a0 | connection.close replyCode=501 replyText=FRAME_ERROR classId=60 methodId=40',
      ],
      'fatal: headers that are cut off': [
        '- a0 | connection.close replyCode=541 replyText=INTERNAL_ERROR classId=0 methodId=0',
        '+ a0 | connection.close replyCode=501 replyText=FRAME_ERROR classId=60 methodId=40',
      ],
    },
  },
  {
    id: 'secrets-are-checked',
    scenarios: {
      'update-secret with a wrong password': [
        '- a0 | connection.update-secret-ok',
        '- a0 | connection.close-ok',
        '+ a0 | connection.close replyCode=530 replyText=NOT_ALLOWED classId=10 methodId=70',
        '- a1 | channel.close-ok',
      ],
    },
  },
  {
    id: 'numbers-by-value',
    scenarios: {
      'routing: headers: tables and lists': [
        '- a1 | basic.return replyCode=312 replyText=NO_ROUTE exchange=~x routingKey= [headers={l: [I 1, I 2], t: {a: l 1}}] ""',
        '- a1 | queue.declare-ok queue=~q messageCount=1 consumerCount=0',
        '+ a1 | queue.declare-ok queue=~q messageCount=2 consumerCount=0',
      ],
      'queue argument: x-message-ttl: a float': [
        "- a1 | channel.close replyCode=406 replyText=PRECONDITION_FAILED 'x-message-ttl' '~q' classId=50 methodId=10",
        '+ a1 | queue.declare-ok queue=~q messageCount=0 consumerCount=0',
        '+ a1 | channel.close-ok',
      ],
      'queue argument: x-expires: a float': [
        "- a1 | channel.close replyCode=406 replyText=PRECONDITION_FAILED 'x-expires' '~q' classId=50 methodId=10",
        '+ a1 | queue.declare-ok queue=~q messageCount=0 consumerCount=0',
        '+ a1 | channel.close-ok',
      ],
      'queue argument: x-max-length: a float': [
        "- a1 | channel.close replyCode=406 replyText=PRECONDITION_FAILED 'x-max-length' '~q' classId=50 methodId=10",
        '+ a1 | queue.declare-ok queue=~q messageCount=0 consumerCount=0',
        '+ a1 | channel.close-ok',
      ],
    },
  },
  {
    id: 'delivery-limit-everywhere',
    scenarios: {
      'queue argument: x-delivery-limit: 1000': [
        "- a1 | channel.close replyCode=406 replyText=PRECONDITION_FAILED 'x-delivery-limit' '~q' classId=50 methodId=10",
        '+ a1 | queue.declare-ok queue=~q messageCount=0 consumerCount=0',
        '+ a1 | channel.close-ok',
      ],
      'queue argument: x-delivery-limit: 0': [
        "- a1 | channel.close replyCode=406 replyText=PRECONDITION_FAILED 'x-delivery-limit' '~q' classId=50 methodId=10",
        '+ a1 | queue.declare-ok queue=~q messageCount=0 consumerCount=0',
        '+ a1 | channel.close-ok',
      ],
      'queue argument: x-delivery-limit: -1': [
        "- a1 | channel.close replyCode=406 replyText=PRECONDITION_FAILED 'x-delivery-limit' '~q' classId=50 methodId=10",
        '+ a1 | queue.declare-ok queue=~q messageCount=0 consumerCount=0',
        '+ a1 | channel.close-ok',
      ],
    },
  },
  {
    id: 'consumer-timeout-checked',
    scenarios: {
      'queue argument: x-consumer-timeout: -1': [
        '- a1 | queue.declare-ok queue=~q messageCount=0 consumerCount=0',
        '- a1 | channel.close-ok',
        "+ a1 | channel.close replyCode=406 replyText=PRECONDITION_FAILED 'x-consumer-timeout' '~q' classId=50 methodId=10",
      ],
    },
  },
  {
    id: 'unknown-arguments',
    scenarios: {
      'queue argument: x-queue-master-locator: an unknown word': [
        '- a0 | connection.close replyCode=541 replyText=INTERNAL_ERROR classId=0 methodId=0',
        '+ a0 | connection.close-ok',
        '+ a1 | queue.declare-ok queue=~q messageCount=0 consumerCount=0',
        '+ a1 | channel.close-ok',
      ],
      'queue argument: x-queue-master-locator: a number': [
        '- a0 | connection.close replyCode=541 replyText=INTERNAL_ERROR classId=0 methodId=0',
        '+ a0 | connection.close-ok',
        '+ a1 | queue.declare-ok queue=~q messageCount=0 consumerCount=0',
        '+ a1 | channel.close-ok',
      ],
      'queue argument: x-queue-master-locator: nothing': [
        '- a0 | connection.close replyCode=541 replyText=INTERNAL_ERROR classId=0 methodId=0',
        '+ a0 | connection.close-ok',
        '+ a1 | queue.declare-ok queue=~q messageCount=0 consumerCount=0',
        '+ a1 | channel.close-ok',
      ],
    },
  },
  {
    id: 'delivery-count-from-one',
    scenarios: {
      'quorum: a message that comes back is counted': [
        '- a1 | basic.get-ok deliveryTag=1 redelivered=false exchange= routingKey=~q messageCount=0 [headers={x-delivery-count: l 0}] "x"',
        '+ a1 | basic.get-ok deliveryTag=1 redelivered=false exchange= routingKey=~q messageCount=0 [] "x"',
      ],
    },
  },
  {
    id: 'global-prefetch',
    scenarios: {
      'quorum: a global prefetch': [
        "- a0 | connection.close replyCode=540 replyText=NOT_IMPLEMENTED '~q' classId=60 methodId=20",
        '+ a0 | connection.close-ok',
        '+ a1 | basic.consume-ok consumerTag=c',
        '+ a1 | channel.close-ok',
      ],
    },
  },
  {
    id: 'size-from-the-header',
    scenarios: {
      'publish: a body beyond what a message may have': [
        '- a0 | connection.close replyCode=505 replyText=UNEXPECTED_FRAME classId=60 methodId=40',
        '+ a0 | connection.close-ok',
        '+ a1 | channel.close replyCode=406 replyText=PRECONDITION_FAILED classId=60 methodId=40',
      ],
    },
  },
  {
    id: 'replies-over-a-queue',
    scenarios: {
      'reply-to: a question and its answer': [
        '- a1 | basic.deliver consumerTag=c deliveryTag=1 redelivered=false exchange= routingKey=amq.rabbitmq.reply-to.<1> [headers={a: I 1} correlationId=1] "and"',
        '+ a1 | basic.deliver consumerTag=c deliveryTag=2 redelivered=false exchange= routingKey=amq.rabbitmq.reply-to.<1> [headers={a: I 1} correlationId=1] "and"',
        '- b1 | basic.return replyCode=312 replyText=NO_ROUTE exchange= routingKey=amq.rabbitmq.reply-to.<1> [correlationId=1] "because"',
      ],
    },
  },
  {
    id: 'expired-and-not-looked-at',
    scenarios: {
      'ttl: a message that expires behind one that does not': [
        '- a1 | basic.get-ok deliveryTag=1 redelivered=false exchange= routingKey=~q messageCount=0 [] "stays"',
        '+ a1 | basic.get-ok deliveryTag=1 redelivered=false exchange= routingKey=~q messageCount=1 [] "stays"',
      ],
    },
  },
  {
    id: 'own-history-only',
    scenarios: {
      'dead letters: headers of the client that look like a history': [
        '- a1 | basic.get-ok deliveryTag=1 redelivered=false exchange= routingKey=~q messageCount=0 [headers={x-death: "mine", x-first-death-queue: "mine", x-last-death-queue: "mine"}] "x"',
        '+ a1 | basic.get-ok deliveryTag=1 redelivered=false exchange= routingKey=~q messageCount=0 [headers={x-death: "mine", x-first-death-queue: "mine"}] "x"',
        '- b1 | basic.deliver consumerTag=c deliveryTag=1 redelivered=false exchange=~dlx routingKey=~q [headers={x-death: [{count: l 1, exchange: "", queue: "~q", reason: "rejected", routing-keys: ["~q"], time: T <now>}], x-first-death-queue: "mine", x-last-death-queue: "mine"}] "x"',
        '+ b1 | basic.deliver consumerTag=c deliveryTag=1 redelivered=false exchange=~dlx routingKey=~q [headers={x-death: [{count: l 1, exchange: "", queue: "~q", reason: "rejected", routing-keys: ["~q"], time: T <now>}], x-first-death-exchange: "", x-first-death-queue: "~q", x-first-death-reason: "rejected"}] "x"',
      ],
      'dead letters: a history published by the client': [
        '- b1 | basic.deliver consumerTag=c deliveryTag=1 redelivered=false exchange=~dlx routingKey=~q [headers={x-death: [{count: l 4, exchange: "", queue: "~q", reason: "rejected", routing-keys: ["~q"], time: T 1000000}]}] "x"',
        '+ b1 | basic.deliver consumerTag=c deliveryTag=1 redelivered=false exchange=~dlx routingKey=~q [headers={x-death: [{count: l 1, exchange: "", queue: "~q", reason: "rejected", routing-keys: ["~q"], time: T <now>}], x-first-death-exchange: "", x-first-death-queue: "~q", x-first-death-reason: "rejected"}] "x"',
      ],
    },
  },
  // In all scenarios: see withoutAllowed.
  { id: 'last-death-headers', scenarios: {} },
];
