/** How a service learns that it is to stop. */

/**
 * Resolves on SIGTERM; on Ctrl-C, too, if it was started by hand. A process that was started by the main program leaves Ctrl-C to that,
 * and ends at once when that is gone without a word, since nobody would ever ask.
 */
export function stopRequested(): Promise<void> {
  const isChild = process.connected === true;
  process.once('disconnect', () => process.exit(1));
  // Otherwise the channel to the parent would keep this process when all is done.
  process.channel?.unref();
  return new Promise((resolve) => {
    process.once('SIGTERM', resolve);
    process.on('SIGINT', () => {
      if (!isChild) resolve();
    });
  });
}
