/**
 * Streams of frames as clients send them, some spoilt, run through a connection on an imitated socket. What must hold whatever comes: nothing
 * is thrown, the connection ends or goes on, and what it keeps is bounded by what it was sent.
 */

import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { guestAuthenticator } from '../../../broker/listeners/amqp/authentication.ts';
import { AmqpConnection } from '../../../broker/listeners/amqp/connection.ts';
import { handlersByMethod } from '../../../broker/listeners/amqp/handlers.ts';
import { type AmqpLimits, DEFAULT_AMQP_LIMITS } from '../../../broker/listeners/amqp/limits.ts';
import { METHODS, type Method, type MethodName } from '../../../broker/listeners/amqp/methods.ts';
import { ManualClock } from '../../../broker/ports/manual-clock.ts';
import { RandomChoices } from '../../../broker/ports/random-choices.ts';
import { SeededRandom } from '../../../broker/ports/seeded-random.ts';
import { type LogLine, recordingLogger } from '../../support/recording-logger.ts';
import { FakeBackend } from './fake-backend.ts';
