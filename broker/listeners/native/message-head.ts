/** The head of a WebSocket frame that is a whole binary message from a server: FIN, opcode 2, no mask (RFC 6455 section 5.2). */
export function binaryMessageHead(payloadBytes: number): Buffer {
  if (payloadBytes < 126) return Buffer.from([0x82, payloadBytes]);
  if (payloadBytes <= 0xffff) return Buffer.from([0x82, 126, payloadBytes >>> 8, payloadBytes & 0xff]);
  const head = Buffer.alloc(10);
  head[0] = 0x82;
  head[1] = 127;
  head.writeUIntBE(payloadBytes, 4, 6);
  return head;
}
