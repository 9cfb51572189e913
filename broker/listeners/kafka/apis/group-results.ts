/** Answers per partition, in the shape of the request that several group APIs share. */
interface AskedTopic {
  readonly name: string;
  readonly partitions: ReadonlyArray<{ readonly partitionIndex: number }>;
}

/** `errorCodeAt` gets the running number of the partition within the request. */
export function perPartition(topics: readonly AskedTopic[], errorCodeAt: (index: number) => number) {
  let index = 0;
  return topics.map(({ name, partitions }) => ({
    name,
    partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode: errorCodeAt(index++) })),
  }));
}
