/** Who may use the native listener, and what each gets to see of the broker. */
import type { BurrowError } from '../../../src/errors/burrow-error.ts';
import type { GroupService } from '../../groups/group-service.ts';
import type { BrokerService } from '../../partitions/broker-service.ts';
import type { QueueService } from '../../queues/queue-service.ts';
import type { Identity } from '../../security/access-control.ts';
import type { UserService } from '../../security/user-service.ts';

export interface NativeServices {
  readonly service: BrokerService;
  readonly groups: GroupService;
  /** Undefined: requests about queues are answered NOT_IMPLEMENTED. */
  readonly queueService: QueueService | undefined;
  /** Undefined: requests about users are answered NOT_IMPLEMENTED. */
  readonly users: UserService | undefined;
}

export interface NativeAccess {
  /** Undefined: one has to log in. */
  withoutLogin(isLoopback: boolean): Identity | undefined;
  /** Undefined: refused. */
  withPassword(
    user: string,
    password: string,
    isLoopback: boolean,
  ): Identity | undefined | Promise<Identity | undefined>;
  /** Calls back once when the identity does not hold any more. Returns what ends that. */
  watch(identity: Identity, onRevoked: (error: BurrowError) => void): () => void;
  /** Ask for permission before each call. */
  servicesFor(identity: Identity): NativeServices;
}
