/** Where the leaders named in an answer are reached, so that clients need no Metadata request (KIP-951). */
import { array, int32, nullableString, string, struct } from './field.ts';

export function nodeEndpoints(since: number) {
  return array(
    { nodeId: int32(), host: string(), port: int32(), rack: nullableString({ default: null }) },
    { since, tag: 0, default: [] },
  );
}

export function currentLeader(since: number, tag: number) {
  return struct(
    { leaderId: int32({ default: -1 }), leaderEpoch: int32({ default: -1 }) },
    { since, tag, default: { leaderId: -1, leaderEpoch: -1 } },
  );
}
