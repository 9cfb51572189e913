/**
 * The producer: takes records, puts each into the open batch of its partition, and hands the batches to the sender.
 * `send` and `sendMany` are per record: below them no closure, spread or object per record but what the user gets back.
 */
import { BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import { BatchBuilder } from '../../src/records/batch-builder.ts';
