import { describe, expect, test } from 'vitest';
import { AmqpException, REPLY_CODES, replyText, toAmqpException } from '../../../broker/listeners/amqp/reply-codes.ts';
import { BurrowError } from '../../../src/errors/burrow-error.ts';

describe('a reply', () => {
  test('closes a channel for soft errors, a connection for hard ones', () => {
    for (const [reply, code] of Object.entries(REPLY_CODES)) {
      const soft = [311, 312, 313, 403, 404, 405, 406].includes(code);
      expect(new AmqpException(reply as keyof typeof REPLY_CODES, '').scope, reply).toBe(
        soft ? 'channel' : 'connection',
      );
    }
    expect(new AmqpException('ACCESS_REFUSED', '', 'connection').scope).toBe('connection');
  });

  test('has a text of at most 255 bytes, whole characters', () => {
    expect(replyText(new AmqpException('NOT_FOUND', "no queue 'q'"))).toBe("NOT_FOUND - no queue 'q'");
    for (const length of [200, 243, 244, 300]) {
      for (const letter of ['x', 'ä', '猫', '😀']) {
        const text = replyText(new AmqpException('NOT_FOUND', letter.repeat(length)));
        expect(Buffer.byteLength(text)).toBeLessThanOrEqual(255);
        expect(text).not.toContain('\ufffd');
      }
    }
  });

  test('of an error is looked up; what is not known is told no details', () => {
    expect(toAmqpException(new BurrowError('INVALID_ARGUMENT', 'x'))).toMatchObject({
      reply: 'PRECONDITION_FAILED',
      scope: 'channel',
      message: 'x',
    });
    expect(toAmqpException(new BurrowError('STORAGE_FULL'))).toMatchObject({
      reply: 'RESOURCE_ERROR',
      scope: 'connection',
    });
    const unexpected = toAmqpException(new TypeError('secret'));
    expect(unexpected).toMatchObject({ reply: 'INTERNAL_ERROR', scope: 'connection' });
    expect(unexpected.message).not.toContain('secret');
    const own = new AmqpException('NO_ROUTE', 'x');
    expect(toAmqpException(own)).toBe(own);
  });
});
