/** What the parts of the groups benchmark are asked for. */
export interface GroupsBenchmarkOptions {
  readonly rounds: number;
  readonly records: number;
  readonly commitSeconds: number;
  /** Joins that are timed, per size of the group and assignor. */
  readonly joins: number;
  /** Of each way to be pushed to, or to pull. */
  readonly pushRecords: number;
  readonly latencySeconds: number;
}
