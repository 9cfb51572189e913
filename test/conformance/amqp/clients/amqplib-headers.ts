/** amqplib's header tables, as the scenarios write them. Both of its interfaces have the same. */
import type { MessagePropertyHeaders } from 'amqplib';
import type { Delivery, Headers, HeaderValue, MessageProperties, Publish } from '../client-adapter.ts';

function fieldFromAmqplib(value: unknown): HeaderValue {
  if (Buffer.isBuffer(value)) return { '!bytes': value.toString('hex') };
  if (Array.isArray(value)) return value.map(fieldFromAmqplib);
  if (typeof value !== 'object' || value === null) return value as HeaderValue;
  const { '!': type, value: typed } = value as { '!'?: string; value?: unknown };
  if (type === 'timestamp') return { '!timestamp': typed as number };
  if (type === 'decimal') {
    const { places, digits } = typed as { places: number; digits: number };
    return { '!decimal': (digits / 10 ** places).toFixed(places) };
  }
  return headersFromAmqplib(value);
}

function headersFromAmqplib(headers: object): Headers {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, fieldFromAmqplib(value)]));
}

interface AmqplibMessage {
  readonly content: Buffer;
  readonly fields: object;
  readonly properties: { readonly headers?: MessagePropertyHeaders | undefined };
}

/** What the client shows in the place of a property that is not there. */
const isPresent = ([, value]: [string, unknown]): boolean => value !== undefined;

/** amqplib gives empty headers where a message has none. */
export function propertiesFromAmqplib({
  headers = {},
  ...properties
}: AmqplibMessage['properties']): MessageProperties {
  const plain = headersFromAmqplib(headers);
  return {
    ...Object.fromEntries(Object.entries(properties).filter(isPresent)),
    ...(Object.keys(plain).length === 0 ? {} : { headers: plain }),
  };
}

/** Of a delivery, an answer to get or a returned message: the fields of the method, the properties and the body. */
export function messageFromAmqplib<T = Delivery>({ fields, properties, content }: AmqplibMessage): T {
  return { ...fields, properties: propertiesFromAmqplib(properties), body: content } as T;
}

/** Its options of a publish are the properties, under the same names. */
export function publishToAmqplib({ properties = {}, mandatory = false }: Publish): object {
  return { ...properties, mandatory };
}
