/** A header of a record, as users give and get it. Keys may repeat; their order is kept. */
export interface RecordHeader {
  readonly key: string;
  readonly value: Uint8Array | null;
}
