/** The message tables of all APIs of the listener, for tests that go through all of them. */
import * as produce from '../../broker/listeners/kafka/schema/00-produce.ts';
import * as fetch from '../../broker/listeners/kafka/schema/01-fetch.ts';
import * as listOffsets from '../../broker/listeners/kafka/schema/02-list-offsets.ts';
import * as metadata from '../../broker/listeners/kafka/schema/03-metadata.ts';
import * as offsetCommit from '../../broker/listeners/kafka/schema/08-offset-commit.ts';
import * as offsetFetch from '../../broker/listeners/kafka/schema/09-offset-fetch.ts';
import * as findCoordinator from '../../broker/listeners/kafka/schema/10-find-coordinator.ts';
import * as joinGroup from '../../broker/listeners/kafka/schema/11-join-group.ts';
import * as heartbeat from '../../broker/listeners/kafka/schema/12-heartbeat.ts';
import * as leaveGroup from '../../broker/listeners/kafka/schema/13-leave-group.ts';
import * as syncGroup from '../../broker/listeners/kafka/schema/14-sync-group.ts';
import * as describeGroups from '../../broker/listeners/kafka/schema/15-describe-groups.ts';
import * as listGroups from '../../broker/listeners/kafka/schema/16-list-groups.ts';
import * as apiVersions from '../../broker/listeners/kafka/schema/18-api-versions.ts';
import * as createTopics from '../../broker/listeners/kafka/schema/19-create-topics.ts';
import * as deleteTopics from '../../broker/listeners/kafka/schema/20-delete-topics.ts';
import * as deleteRecords from '../../broker/listeners/kafka/schema/21-delete-records.ts';
import * as initProducerId from '../../broker/listeners/kafka/schema/22-init-producer-id.ts';
import * as offsetForLeaderEpoch from '../../broker/listeners/kafka/schema/23-offset-for-leader-epoch.ts';
import * as describeConfigs from '../../broker/listeners/kafka/schema/32-describe-configs.ts';
import * as alterConfigs from '../../broker/listeners/kafka/schema/33-alter-configs.ts';
import * as createPartitions from '../../broker/listeners/kafka/schema/37-create-partitions.ts';
import * as deleteGroups from '../../broker/listeners/kafka/schema/42-delete-groups.ts';
import * as incrementalAlterConfigs from '../../broker/listeners/kafka/schema/44-incremental-alter-configs.ts';
import * as offsetDelete from '../../broker/listeners/kafka/schema/47-offset-delete.ts';
import * as describeCluster from '../../broker/listeners/kafka/schema/60-describe-cluster.ts';
import type { Fields } from '../../broker/listeners/kafka/schema/field.ts';
import type { ApiTables } from './kafka-test-client.ts';

export const KAFKA = {
  produce: { key: 0, request: produce.produceRequest, response: produce.produceResponse },
  fetch: { key: 1, request: fetch.fetchRequest, response: fetch.fetchResponse },
  listOffsets: { key: 2, request: listOffsets.listOffsetsRequest, response: listOffsets.listOffsetsResponse },
  metadata: { key: 3, request: metadata.metadataRequest, response: metadata.metadataResponse },
  findCoordinator: {
    key: 10,
    request: findCoordinator.findCoordinatorRequest,
    response: findCoordinator.findCoordinatorResponse,
  },
  apiVersions: { key: 18, request: apiVersions.apiVersionsRequest, response: apiVersions.apiVersionsResponse },
  createTopics: { key: 19, request: createTopics.createTopicsRequest, response: createTopics.createTopicsResponse },
  deleteTopics: { key: 20, request: deleteTopics.deleteTopicsRequest, response: deleteTopics.deleteTopicsResponse },
  deleteRecords: {
    key: 21,
    request: deleteRecords.deleteRecordsRequest,
    response: deleteRecords.deleteRecordsResponse,
  },
  initProducerId: {
    key: 22,
    request: initProducerId.initProducerIdRequest,
    response: initProducerId.initProducerIdResponse,
  },
  offsetForLeaderEpoch: {
    key: 23,
    request: offsetForLeaderEpoch.offsetForLeaderEpochRequest,
    response: offsetForLeaderEpoch.offsetForLeaderEpochResponse,
  },
  describeConfigs: {
    key: 32,
    request: describeConfigs.describeConfigsRequest,
    response: describeConfigs.describeConfigsResponse,
  },
  alterConfigs: { key: 33, request: alterConfigs.alterConfigsRequest, response: alterConfigs.alterConfigsResponse },
  createPartitions: {
    key: 37,
    request: createPartitions.createPartitionsRequest,
    response: createPartitions.createPartitionsResponse,
  },
  incrementalAlterConfigs: {
    key: 44,
    request: incrementalAlterConfigs.incrementalAlterConfigsRequest,
    response: incrementalAlterConfigs.incrementalAlterConfigsResponse,
  },
  offsetCommit: { key: 8, request: offsetCommit.offsetCommitRequest, response: offsetCommit.offsetCommitResponse },
  offsetFetch: { key: 9, request: offsetFetch.offsetFetchRequest, response: offsetFetch.offsetFetchResponse },
  joinGroup: { key: 11, request: joinGroup.joinGroupRequest, response: joinGroup.joinGroupResponse },
  heartbeat: { key: 12, request: heartbeat.heartbeatRequest, response: heartbeat.heartbeatResponse },
  leaveGroup: { key: 13, request: leaveGroup.leaveGroupRequest, response: leaveGroup.leaveGroupResponse },
  syncGroup: { key: 14, request: syncGroup.syncGroupRequest, response: syncGroup.syncGroupResponse },
  describeGroups: {
    key: 15,
    request: describeGroups.describeGroupsRequest,
    response: describeGroups.describeGroupsResponse,
  },
  listGroups: { key: 16, request: listGroups.listGroupsRequest, response: listGroups.listGroupsResponse },
  deleteGroups: { key: 42, request: deleteGroups.deleteGroupsRequest, response: deleteGroups.deleteGroupsResponse },
  offsetDelete: { key: 47, request: offsetDelete.offsetDeleteRequest, response: offsetDelete.offsetDeleteResponse },
  describeCluster: {
    key: 60,
    request: describeCluster.describeClusterRequest,
    response: describeCluster.describeClusterResponse,
  },
} as const;

export const ALL_KAFKA_APIS: ReadonlyArray<ApiTables<Fields, Fields>> = Object.values(KAFKA);
