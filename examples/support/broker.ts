/** The broker of an example, as a process of its own: `node broker.js --folder DIR --port N`. Tells its parent the port that it got. */
import { parseArgs } from 'node:util';
import { startBroker } from '../../broker/index.ts';
import { stopRequested } from './stop-requested.ts';

const { values } = parseArgs({ options: { folder: { type: 'string' }, port: { type: 'string', default: '0' } } });
const broker = await startBroker({
  storage: values.folder ?? 'burrow-data',
  port: Number(values.port),
  kafkaPort: 'off',
  amqpPort: 'off',
});
process.send?.({ port: broker.ports.native });
await stopRequested();
await broker.close();
