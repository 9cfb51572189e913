/** What the coordinator refuses, with the facts that help whoever reads the error. */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { JoinGroupOutcome } from './group-service.ts';

export function unknownMember(group: string, memberId: string): BurrowError {
  return new BurrowError('UNKNOWN_MEMBER', undefined, { fields: { group, memberId } });
}

export function fencedInstance(group: string, groupInstanceId: string): BurrowError {
  return new BurrowError('FENCED_INSTANCE', undefined, { fields: { group, groupInstanceId } });
}

export function illegalGeneration(group: string, generationId: number, currentGenerationId: number): BurrowError {
  return new BurrowError('ILLEGAL_GENERATION', undefined, { fields: { group, generationId, currentGenerationId } });
}

export function inconsistentProtocol(group: string): BurrowError {
  return new BurrowError('INCONSISTENT_GROUP_PROTOCOL', undefined, { fields: { group } });
}

export function rebalanceInProgress(group: string): BurrowError {
  return new BurrowError('REBALANCE_IN_PROGRESS', undefined, { fields: { group } });
}

export function groupFull(group: string, membersMax: number): BurrowError {
  return new BurrowError('GROUP_MAX_SIZE_REACHED', undefined, { fields: { group, membersMax } });
}

export function groupBeingDeleted(group: string): BurrowError {
  const text = `Group ${group} is being deleted. Retry after a moment.`;
  return new BurrowError('COORDINATOR_NOT_AVAILABLE', text, { fields: { group } });
}

export function noSuchGroup(group: string): BurrowError {
  return new BurrowError('GROUP_ID_NOT_FOUND', undefined, { fields: { group } });
}

export function groupNotEmpty(group: string): BurrowError {
  return new BurrowError('NON_EMPTY_GROUP', undefined, { fields: { group } });
}

export function subscribedToTopic(group: string, topic: string): BurrowError {
  return new BurrowError('GROUP_SUBSCRIBED_TO_TOPIC', undefined, { fields: { group, topic } });
}

export function groupTooLarge(group: string, bytes: number, bytesMax: number): BurrowError {
  return new BurrowError(
    'RECORD_TOO_LARGE',
    `What the members of group ${group} subscribe to and are assigned takes ${bytes} bytes; at most ${bytesMax} can be stored.`,
    { fields: { group, bytes, bytesMax } },
  );
}

/**
 * Storage fails or is full. Kafka's clients take only coordinator errors for something that passes, so that is what they
 * get, as from Kafka's coordinator.
 */
export function cannotWrite(log: string, error: BurrowError): BurrowError {
  return new BurrowError('COORDINATOR_NOT_AVAILABLE', `${log} cannot be written: ${error.message}`, {
    cause: error,
    fields: { log, reason: error.code },
  });
}

export function failedJoin(memberId: string, error: BurrowError): JoinGroupOutcome {
  return {
    error,
    generationId: -1,
    protocolType: undefined,
    protocolName: undefined,
    leader: '',
    skipAssignment: false,
    memberId,
    members: [],
  };
}
