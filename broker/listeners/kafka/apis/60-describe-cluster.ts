/**
 * DescribeCluster, versions 0–1 (KIP-700): brokers and controller, without topics. v1 can ask for controllers instead
 * (KIP-919), which have no addresses of their own here.
 */
import { BurrowError } from '../../../../src/errors/burrow-error.ts';
import { defineApi } from '../api.ts';
import { ALL_CLUSTER_OPERATIONS } from '../authorized-operations.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import { OPERATIONS_NOT_ASKED } from '../schema/03-metadata.ts';
import { describeClusterRequest, describeClusterResponse } from '../schema/60-describe-cluster.ts';

const BROKER_ENDPOINTS = 1;

export const describeCluster = defineApi({
  key: 60,
  name: 'DescribeCluster',
  request: describeClusterRequest,
  response: describeClusterResponse,
  handle({ includeClusterAuthorizedOperations, endpointType }, context) {
    const { clusterId, controllerId } = context.service;
    if (endpointType !== BROKER_ENDPOINTS) {
      const refusal = new BurrowError('INVALID_ARGUMENT', 'Only the endpoints of brokers can be described.');
      return { ...toKafkaError(refusal, context.logger), endpointType, clusterId, brokers: [] };
    }
    return {
      errorCode: NO_ERROR,
      clusterId,
      controllerId,
      brokers: context.brokers().map(({ nodeId, host, port, rack }) => ({ brokerId: nodeId, host, port, rack })),
      clusterAuthorizedOperations: includeClusterAuthorizedOperations ? ALL_CLUSTER_OPERATIONS : OPERATIONS_NOT_ASKED,
    };
  },
});
