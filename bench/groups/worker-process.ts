/** A worker of the groups benchmark, as its parent sees it. */
import { built } from '../support/built.ts';
import { WorkerProcess } from '../support/worker-process.ts';
import type { GroupCommand, GroupReport, GroupTask } from './worker.ts';

export class GroupWorker extends WorkerProcess<GroupCommand, GroupReport> {
  constructor(task: GroupTask) {
    super(built('bench/groups/worker.js'), task);
  }
}
