/** What clients may ask of groups: the limits, and the checks of what they name and send. */
import { utf8Bytes } from '../../src/bytes/utf8.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { GroupProtocol, JoinGroupRequest, OffsetToCommit } from './group-service.ts';

/** As of topics, and as in Kafka for group instances. */
const NAME_CHARACTERS_MAX = 249;
/** Of what is only shown: client id and host. */
const SHOWN_CHARACTERS_MAX = 255;
/** About what a protocol takes besides name and metadata. */
const PROTOCOL_BYTES = 64;
const INT32_MAX = 2 ** 31 - 1;

export interface GroupLimits {
  readonly groupsMax: number;
  /** Of all groups together: members, what they sent, and committed offsets. */
  readonly groupsBytesMax: number;
  readonly groupMembersMax: number;
  readonly groupMemberBytesMax: number;
  readonly groupMinSessionTimeoutMs: number;
  readonly groupMaxSessionTimeoutMs: number;
  readonly groupInitialRebalanceDelayMs: number;
  readonly offsetMetadataBytesMax: number;
}

/** What all groups of a node take; so that no client can make it grow without end. */
export class GroupBudget {
  readonly #limits: GroupLimits;
  groups = 0;
  bytes = 0;

  constructor(limits: GroupLimits) {
    this.#limits = limits;
  }

  /** @throws BurrowError GROUP_LIMIT unless one more group is allowed */
  checkGroup(): void {
    const { groupsMax } = this.#limits;
    if (this.groups >= groupsMax) {
      throw new BurrowError('GROUP_LIMIT', `This broker keeps ${this.groups} groups, as many as it may (groups-max).`);
    }
    this.checkBytes();
  }

  /** @throws BurrowError GROUP_LIMIT unless there is room for new members and offsets */
  checkBytes(): void {
    const { groupsBytesMax } = this.#limits;
    if (this.bytes < groupsBytesMax) return;
    throw new BurrowError(
      'GROUP_LIMIT',
      `The groups of this broker take ${this.bytes} bytes of memory, as much as they may (groups-bytes-max).`,
    );
  }
}

export function checkGroupId(groupId: string): void {
  if (groupId.length > 0 && groupId.length <= NAME_CHARACTERS_MAX) return;
  throw new BurrowError(
    'INVALID_GROUP_ID',
    `A group id has 1 to ${NAME_CHARACTERS_MAX} characters, not ${groupId.length}.`,
  );
}

/** The request as the group keeps it: checked, cut to what is needed, and with bytes of its own. */
export function checkedJoin(request: JoinGroupRequest, limits: GroupLimits): JoinGroupRequest {
  const { groupMinSessionTimeoutMs, groupMaxSessionTimeoutMs } = limits;
  const { sessionTimeoutMs, groupInstanceId, rebalanceTimeoutMs } = request;
  checkGroupId(request.groupId);
  if (!(sessionTimeoutMs >= groupMinSessionTimeoutMs && sessionTimeoutMs <= groupMaxSessionTimeoutMs)) {
    throw new BurrowError(
      'INVALID_SESSION_TIMEOUT',
      `The session timeout is ${sessionTimeoutMs} ms; this broker allows ${groupMinSessionTimeoutMs} (group-min-session-timeout-ms) to ${groupMaxSessionTimeoutMs} (group-max-session-timeout-ms).`,
    );
  }
  if (groupInstanceId !== undefined && (groupInstanceId === '' || groupInstanceId.length > NAME_CHARACTERS_MAX)) {
    throw new BurrowError('INVALID_ARGUMENT', `A group instance id has 1 to ${NAME_CHARACTERS_MAX} characters.`);
  }
  if (request.protocolType.length > NAME_CHARACTERS_MAX) {
    throw new BurrowError('INVALID_ARGUMENT', `A protocol type has at most ${NAME_CHARACTERS_MAX} characters.`);
  }
  return {
    ...request,
    clientId: request.clientId.slice(0, SHOWN_CHARACTERS_MAX),
    clientHost: request.clientHost.slice(0, SHOWN_CHARACTERS_MAX),
    reason: request.reason?.slice(0, SHOWN_CHARACTERS_MAX),
    rebalanceTimeoutMs: Math.min(Math.max(0, rebalanceTimeoutMs), INT32_MAX),
    protocols: checkedProtocols(request.protocols, limits.groupMemberBytesMax),
  };
}

function checkedProtocols(protocols: readonly GroupProtocol[], bytesMax: number): GroupProtocol[] {
  let bytes = 0;
  const byName = new Map<string, GroupProtocol>();
  for (const { name, metadata } of protocols) {
    bytes += PROTOCOL_BYTES + name.length + metadata.length;
    if (bytes > bytesMax) {
      throw new BurrowError(
        'INVALID_ARGUMENT',
        `The protocols of the member take more than ${bytesMax} bytes (group-member-bytes-max).`,
        { fields: { bytesMax } },
      );
    }
    if (name.length > NAME_CHARACTERS_MAX) {
      throw new BurrowError('INVALID_ARGUMENT', `A protocol name has at most ${NAME_CHARACTERS_MAX} characters.`);
    }
    // Copied, or it would keep all of the request alive.
    if (!byName.has(name)) byName.set(name, { name, metadata: new Uint8Array(metadata) });
  }
  return [...byName.values()];
}

/**
 * Kafka takes any number. kafkajs' `resetOffsets` commits -2 for the first and -1 for the next record, and its consumers
 * begin there.
 */
const LOGICAL_OFFSET_MIN = -2;

/** Per committed offset. Returns what is wrong with it. */
export function offsetProblem(offset: OffsetToCommit, metadataBytesMax: number): BurrowError | undefined {
  const { metadata } = offset;
  // A character takes at most three bytes per unit: most need no counting.
  if (metadata.length * 3 > metadataBytesMax && utf8Bytes(metadata) > metadataBytesMax) {
    return new BurrowError(
      'OFFSET_METADATA_TOO_LARGE',
      `The metadata of a committed offset takes ${utf8Bytes(metadata)} bytes; at most ${metadataBytesMax} are allowed (offset-metadata-bytes-max).`,
    );
  }
  if (!Number.isSafeInteger(offset.offset) || offset.offset < LOGICAL_OFFSET_MIN) {
    return new BurrowError('INVALID_ARGUMENT', `${offset.offset} is no offset.`);
  }
  if (!Number.isInteger(offset.leaderEpoch) || offset.leaderEpoch < -1 || offset.leaderEpoch > INT32_MAX) {
    return new BurrowError('INVALID_ARGUMENT', `${offset.leaderEpoch} is no leader epoch.`);
  }
  return undefined;
}
