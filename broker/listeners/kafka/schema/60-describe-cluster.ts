import { OPERATIONS_NOT_ASKED } from './03-metadata.ts';
import { array, bool, int8, int16, int32, message, nullableString, string } from './field.ts';

export const describeClusterRequest = message(
  'DescribeClusterRequest',
  { versions: [0, 1], flexibleSince: 0 },
  { includeClusterAuthorizedOperations: bool(), endpointType: int8({ since: 1, default: 1 }) },
);

export const describeClusterResponse = message(
  'DescribeClusterResponse',
  { versions: [0, 1], flexibleSince: 0 },
  {
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16(),
    errorMessage: nullableString({ default: null }),
    endpointType: int8({ since: 1, default: 1 }),
    clusterId: string(),
    controllerId: int32({ default: -1 }),
    brokers: array({ brokerId: int32(), host: string(), port: int32(), rack: nullableString({ default: null }) }),
    clusterAuthorizedOperations: int32({ default: OPERATIONS_NOT_ASKED }),
  },
);
