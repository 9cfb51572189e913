/** What routing may look at of a message, decoded when it is asked for. One object serves message after message. */
import type { FieldTable } from './field-value.ts';
import { headersProperty, propertyPosition, textProperty, timestampProperty } from './message-properties.ts';

/** As an entry of a table begins. */
const BCC = '\x03BCC';

export class RoutableProperties {
  routingKey = '';
  #bytes: Uint8Array = new Uint8Array(0);
  #headers: FieldTable | undefined;
  #headersKnown = false;

  /** `properties` must have been checked. Per message: no objects. */
  set(routingKey: string, properties: Uint8Array): this {
    this.routingKey = routingKey;
    this.#bytes = properties;
    this.#headers = undefined;
    this.#headersKnown = propertyPosition(properties, 0, properties.length, 'headers') === -1;
    return this;
  }

  get headers(): FieldTable | undefined {
    if (!this.#headersKnown) {
      this.#headers = headersProperty(this.#bytes, 0, this.#bytes.length);
      this.#headersKnown = true;
    }
    return this.#headers;
  }

  /** Whether there is a header BCC, which nobody but the router may see. */
  get hasBcc(): boolean {
    if (this.#headersKnown && this.#headers === undefined) return false;
    const bytes = Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.byteLength);
    return bytes.includes(BCC) && this.headers?.has('BCC') === true;
  }

  get messageId(): string | undefined {
    return textProperty(this.#bytes, 0, this.#bytes.length, 'messageId');
  }

  get correlationId(): string | undefined {
    return textProperty(this.#bytes, 0, this.#bytes.length, 'correlationId');
  }

  get timestampSeconds(): number | undefined {
    return timestampProperty(this.#bytes, 0, this.#bytes.length);
  }
}
