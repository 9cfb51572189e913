/** `npm run example [name]`: lists the examples, or runs one. What stands behind the name is for the example. */
interface Example {
  readonly about: string;
  readonly main: () => Promise<unknown>;
}

const EXAMPLES: ReadonlyMap<string, Example> = new Map([
  [
    'saga',
    {
      about: 'orders over four services, choreographed and orchestrated: completed or undone, whatever dies',
      main: () => import('./saga/main.ts'),
    },
  ],
  [
    'outbox',
    {
      about: 'a database row and its event: both or neither, and each event is applied once',
      main: () => import('./outbox/main.ts'),
    },
  ],
  [
    'work-queue',
    {
      about: 'jobs through a topic exchange: priorities, retries, dead letters, replay',
      main: () => import('./work-queue/main.ts'),
    },
  ],
  ['tour', { about: 'the broker in a few seconds (also npm run demo)', main: () => import('./tour/tour.ts') }],
]);

const name = process.argv[2];
const example = EXAMPLES.get(name ?? '');
if (example === undefined) {
  if (name !== undefined) process.stderr.write(`There is no example "${name}".\n`);
  const lines = Array.from(EXAMPLES, ([each, { about }]) => `  npm run example ${each.padEnd(10)}  ${about}\n`);
  process.stdout.write(`Examples, each described in examples/NAME/README.md:\n\n${lines.join('')}`);
  process.exitCode = name === undefined ? 0 : 2;
} else {
  try {
    await example.main();
  } catch (error) {
    process.stderr.write(`${name} failed: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
