// A worker as BullMQ's documentation advises: it shuts down in order, listens for errors, and gives each
// job to one async function. It knows nothing of Syncope; all that it is told is in its environment.
import { Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { setTimeout as sleep } from 'node:timers/promises';

const env = process.env;
const number = (name, otherwise) => Number(env[name] ?? otherwise);
const address = { host: env.REDIS_HOST ?? '127.0.0.1', port: number('REDIS_PORT', 6379) };
const redis = new Redis({ ...address, maxRetriesPerRequest: null });
const say = (...words) => console.log(...words);

// Blocks the event loop, as a long computation does: no lock is renewed meanwhile.
function compute(ms) {
  const end = process.hrtime.bigint() + BigInt(Math.round(ms * 1e6));
  while (process.hrtime.bigint() < end);
}

async function work(job) {
  say(`took ${job.id} start ${job.attemptsStarted} stalled ${job.stalledCounter}`);
  if (job.id === env.BLOCK_JOB && job.attemptsStarted === 1) compute(number('BLOCK_MS', 0));
  if (job.attemptsMade < (job.data.failing_attempts ?? 0)) throw new Error('as told');
  for (const [index, nanoseconds] of job.data.steps.entries()) {
    await sleep(nanoseconds / 1e6);
    say(`step ${job.id} ${index + 1}`);
  }
  await redis.hincrby('effects', job.id, 1);
}

await sleep(number('START_AFTER', 0));
const worker = new Worker(env.QUEUE ?? 'jobs', work, {
  connection: { ...address, maxRetriesPerRequest: null },
  name: env.NAME,
  concurrency: number('CONCURRENCY', 1),
  lockDuration: number('LOCK_DURATION', 30_000),
  stalledInterval: number('STALLED_INTERVAL', 30_000),
  maxStalledCount: number('MAX_STALLED_COUNT', 1),
  drainDelay: number('DRAIN_DELAY', 5_000) / 1_000,
  runRetryDelay: number('RUN_RETRY_DELAY', 15_000),
});
worker.on('ready', () => say('ready'));
worker.on('completed', (job) => say(`done ${job.id}`));
worker.on('failed', (job, error) => say(`failed ${job?.id} ${error.message}`));
worker.on('stalled', (id) => say(`stalled ${id}`));
worker.on('lockRenewalFailed', (ids) => say(`lock lost ${ids.join(' ')}`));
worker.on('error', (error) => say(`error ${error.message}`));
redis.on('error', () => {}); // The worker's own connection tells of the same.

process.on('SIGUSR1', () => say(`clock ${Date.now()}`));
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.once(signal, async () => {
    say('closing');
    await worker.close(); // Waits for the jobs in work.
    await redis.quit();
    say('closed');
  });
}
