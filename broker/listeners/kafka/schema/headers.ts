/** Headers of requests and responses. Which version a message has follows from whether its body is flexible. */
import { classicNullableString, int16, int32, message } from './field.ts';

/** Version 0, without a client id, was only used by ControlledShutdown. */
export const requestHeader = message(
  'RequestHeader',
  { versions: [1, 2], flexibleSince: 2 },
  {
    apiKey: int16(),
    apiVersion: int16(),
    correlationId: int32(),
    clientId: classicNullableString(),
  },
);

export const responseHeader = message(
  'ResponseHeader',
  { versions: [0, 1], flexibleSince: 1 },
  { correlationId: int32() },
);
