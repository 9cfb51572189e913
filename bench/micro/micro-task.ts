/** A hot piece of code, measured alone. */
export interface MicroTask {
  readonly name: string;
  /** What one run works on; figures are per unit. */
  readonly unit: 'record' | 'frame' | 'message' | 'MB';
  readonly units: number;
  /** Returns something that depends on what it did, so that none of it can be left out; never 0. */
  readonly run: () => number;
}
