// Reads one job a line (JSON: id, steps in nanoseconds, attempts, backoff) and prints one line for each:
// `ok ID` once Redis has it, `info ID why` if that is not known.
import { Queue } from 'bullmq';
import { createInterface } from 'node:readline';

const env = process.env;
const queue = new Queue(env.QUEUE ?? 'jobs', {
  // A producer fails fast rather than wait for a Redis that is away, as BullMQ advises.
  connection: { host: env.REDIS_HOST ?? '127.0.0.1', port: Number(env.REDIS_PORT ?? 6379), enableOfflineQueue: false },
  defaultJobOptions: {
    attempts: Number(env.ATTEMPTS ?? 3),
    backoff: { type: 'exponential', delay: Number(env.BACKOFF ?? 1_000) },
  },
});
queue.on('error', (error) => console.error(`error ${error.message}`));
await queue.waitUntilReady();
console.log('ready');

for await (const line of createInterface({ input: process.stdin })) {
  const job = JSON.parse(line);
  try {
    await queue.add('work', job, { jobId: job.id });
    console.log(`ok ${job.id}`);
  } catch (error) {
    console.log(`info ${job.id} ${error.message}`);
  }
}
await queue.close();
