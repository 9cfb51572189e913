/**
 * Who is not let in yet gets no memory to speak of: `ws` would collect a frame of any size up to its maximum before it hands it over, so
 * the bytes that the socket brings are counted. Until then a client has hello to send, and a login.
 */
import type { Socket } from 'node:net';
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import { HELLO_FRAME_BYTES_MAX } from '../../../src/protocol/version.ts';

/** Room for the heads of the first frame and for a ping before it. */
const FIRST_FRAME_SLACK_BYTES = 64;

export function limitFirstFrames(
  socket: Socket,
  options: {
    /** Whether the client is let in. */
    readonly isOver: () => boolean;
    /** Frames that it may have sent by now. */
    readonly framesMax: () => number;
    readonly onTooLarge: (error: BurrowError) => void;
  },
): void {
  const start = socket.bytesRead;
  const check = (): void => {
    if (options.isOver()) {
      socket.off('data', check);
      return;
    }
    const bytesMax = start + (HELLO_FRAME_BYTES_MAX + FIRST_FRAME_SLACK_BYTES) * options.framesMax();
    if (socket.bytesRead > bytesMax) options.onTooLarge(firstFrameTooLarge());
  };
  socket.on('data', check);
}

export function firstFrameTooLarge(): BurrowError {
  return new BurrowError('FRAME_TOO_LARGE', `The first frame may have ${HELLO_FRAME_BYTES_MAX} bytes.`);
}
