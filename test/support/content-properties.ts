/** AMQP content properties with these fields only. */
export function properties(fields: {
  priority?: number;
  expiration?: string;
  headers?: Record<string, string>;
}): Buffer {
  const { priority, expiration, headers } = fields;
  const parts: Buffer[] = [];
  let flags = 0;
  if (headers !== undefined) {
    flags |= 1 << 13;
    const entries = Object.entries(headers).map(([key, value]) => {
      const size = Buffer.alloc(5);
      size.write('S', 0);
      size.writeUInt32BE(Buffer.byteLength(value), 1);
      return Buffer.concat([shortString(key), size, Buffer.from(value)]);
    });
    const table = Buffer.concat(entries);
    const size = Buffer.alloc(4);
    size.writeUInt32BE(table.length);
    parts.push(size, table);
  }
  if (priority !== undefined) {
    flags |= 1 << 11;
    parts.push(Buffer.from([priority]));
  }
  if (expiration !== undefined) {
    flags |= 1 << 8;
    parts.push(shortString(expiration));
  }
  const head = Buffer.alloc(2);
  head.writeUInt16BE(flags);
  return Buffer.concat([head, ...parts]);
}

function shortString(text: string): Buffer {
  return Buffer.concat([Buffer.from([Buffer.byteLength(text)]), Buffer.from(text)]);
}
