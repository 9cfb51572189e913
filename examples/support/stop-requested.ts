/** How a service learns that it is to stop. */

/** Started by the main program of the example, not by hand. */
const isChild = process.send !== undefined;

if (isChild) {
  // When the main program is gone without a word, nobody would ever ask; perhaps it is gone already.
  process.once('disconnect', () => process.exit(1));
  if (!process.connected) process.exit(1);
  // Otherwise the channel to it would keep this process when all is done.
  process.channel?.unref();
}

/** Resolves on SIGTERM; on Ctrl-C only if it was started by hand. Tells the main program that it can be asked from now on. */
export function stopRequested(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGTERM', resolve);
    process.on('SIGINT', () => {
      if (!isChild) resolve();
    });
    process.send?.('ready');
  });
}
