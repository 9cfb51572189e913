/** Which peers are on this machine. */

/** Dual-stack sockets show IPv4 peers as ::ffff:a.b.c.d. */
export function isLoopbackAddress(address: string | undefined): boolean {
  return address === '::1' || /^(?:::ffff:)?127\./.test(address ?? '');
}
