/** The message tables of all APIs of the listener, for tests that go through all of them. */
import * as produce from '../../broker/listeners/kafka/schema/00-produce.ts';
import * as fetch from '../../broker/listeners/kafka/schema/01-fetch.ts';
import * as listOffsets from '../../broker/listeners/kafka/schema/02-list-offsets.ts';
import * as metadata from '../../broker/listeners/kafka/schema/03-metadata.ts';
import * as findCoordinator from '../../broker/listeners/kafka/schema/10-find-coordinator.ts';
import * as apiVersions from '../../broker/listeners/kafka/schema/18-api-versions.ts';
import * as createTopics from '../../broker/listeners/kafka/schema/19-create-topics.ts';
import * as deleteTopics from '../../broker/listeners/kafka/schema/20-delete-topics.ts';
import * as deleteRecords from '../../broker/listeners/kafka/schema/21-delete-records.ts';
import * as initProducerId from '../../broker/listeners/kafka/schema/22-init-producer-id.ts';
import * as offsetForLeaderEpoch from '../../broker/listeners/kafka/schema/23-offset-for-leader-epoch.ts';
import * as describeConfigs from '../../broker/listeners/kafka/schema/32-describe-configs.ts';
import * as alterConfigs from '../../broker/listeners/kafka/schema/33-alter-configs.ts';
import * as createPartitions from '../../broker/listeners/kafka/schema/37-create-partitions.ts';
import * as incrementalAlterConfigs from '../../broker/listeners/kafka/schema/44-incremental-alter-configs.ts';
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
  describeCluster: {
    key: 60,
    request: describeCluster.describeClusterRequest,
    response: describeCluster.describeClusterResponse,
  },
} as const;

export const ALL_KAFKA_APIS: ReadonlyArray<ApiTables<Fields, Fields>> = Object.values(KAFKA);
