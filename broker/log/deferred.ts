/** A promise with its levers outside; Node 20 has no Promise.withResolvers. Its rejection is never "unhandled". */
export class Deferred {
  readonly promise: Promise<void>;
  resolve!: () => void;
  reject!: (error: unknown) => void;

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    // A producer with acks=0 never looks at the outcome.
    this.promise.catch(() => {});
  }
}
