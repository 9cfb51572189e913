/** A TCP port that leads to another, until it is cut off: then connections break and new ones go nowhere. */
import { connect, createServer, type Server, type Socket } from 'node:net';

export class CutOffProxy {
  /** Where new connections lead. */
  targetPort: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isCutOff = false;

  /** To be closed. */
  static async start(targetPort: number): Promise<CutOffProxy> {
    const proxy = new CutOffProxy(targetPort);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  private constructor(targetPort: number) {
    this.targetPort = targetPort;
    this.#server = createServer((near) => {
      if (this.#isCutOff) {
        near.destroy();
        return;
      }
      const far = connect(this.targetPort, '127.0.0.1');
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => {
          this.#sockets.delete(socket);
          other.destroy();
        });
        socket.pipe(other);
      }
    });
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  cutOff(): void {
    this.#isCutOff = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  restore(): void {
    this.#isCutOff = false;
  }

  close(): void {
    this.cutOff();
    this.#server.close();
  }
}
