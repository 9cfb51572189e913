/**
 * The saga as a list of steps, and the one rule of orchestration: what is done leads to the next step; what is refused or undone leads
 * to undoing the step before it, until none is left. Pure, so a saga needs no memory but the outcome that has just come.
 */
import { COMMAND_TOPICS, type Command, type Outcome } from '../messages.ts';

interface Step {
  readonly topic: string;
  readonly action: Command;
  readonly done: Outcome;
  readonly refused: Outcome;
  /** Absent from the last step: nothing after it can be refused. */
  readonly compensation?: { readonly command: Command; readonly undone: Outcome };
}

const STEPS: readonly Step[] = [
  {
    topic: COMMAND_TOPICS.payment,
    action: 'ChargePayment',
    done: 'PaymentCharged',
    refused: 'PaymentDeclined',
    compensation: { command: 'RefundPayment', undone: 'PaymentRefunded' },
  },
  {
    topic: COMMAND_TOPICS.inventory,
    action: 'ReserveStock',
    done: 'StockReserved',
    refused: 'StockRejected',
    compensation: { command: 'ReleaseStock', undone: 'StockReleased' },
  },
  { topic: COMMAND_TOPICS.shipping, action: 'ShipOrder', done: 'ShipmentSent', refused: 'ShipmentRefused' },
];

export type Decision = { readonly topic: string; readonly command: Command } | 'complete' | 'cancel';

/** What follows from an outcome. `OrderPlaced` begins a saga. */
export function decide(outcome: Outcome): Decision {
  if (outcome === 'OrderPlaced') return actionOf(0);
  for (const [index, { done, refused, compensation }] of STEPS.entries()) {
    if (outcome === done) return actionOf(index + 1);
    if (outcome === refused || outcome === compensation?.undone) return compensationOf(index - 1);
  }
  throw new Error(`no step has the outcome ${outcome}`);
}

function actionOf(index: number): Decision {
  const step = STEPS[index];
  return step === undefined ? 'complete' : { topic: step.topic, command: step.action };
}

function compensationOf(index: number): Decision {
  if (index < 0) return 'cancel';
  const { topic, compensation } = STEPS[index]!;
  return { topic, command: compensation!.command };
}
