import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";
import { TOPICS, type Topic } from "../db/schema/outbox.ts";

/** All that a job says: look at this. Running it twice, late or never is harmless. */
export type LookAt = { readonly subject: string };

/**
 * More than one build, so that a registry that hardly answers holds up one app and not all; and as many
 * apps to be scheduled as are gathered for the pass after the one that runs.
 */
const CONCURRENCY: Readonly<Record<Topic, number>> = { build: 3, schedule: 400 };

export type Queues = {
  /** Rings for a subject, now or later. Where a job of this `key` waits or runs, there it stays at that. */
  add(topic: Topic, subject: string, key: string, delayMs?: number): Promise<void>;
  /** Throws when Redis does not answer. */
  check(): Promise<void>;
  close(): Promise<void>;
};

/**
 * Redis is a doorbell: jobs are dropped once they ran, and a failed one is left to the sweep. Resolves when
 * Redis was asked for the first time, whether it answered or not.
 */
export async function openQueues(
  redisUrl: string,
  prefix: string,
  onError: (error: unknown) => void,
): Promise<Queues> {
  const connection = new Redis(redisUrl, {
    maxRetriesPerRequest: 1,
    enableOfflineQueue: false,
    lazyConnect: false,
    // The relay waits for an answer with a transaction open.
    commandTimeout: 5_000,
  });
  connection.on("error", onError);
  await new Promise<void>((resolve) => {
    connection.once("ready", resolve).once("close", resolve);
  });
  const queues = Object.fromEntries(
    TOPICS.map((topic) => {
      const queue = new Queue<LookAt>(topic, { connection, prefix });
      queue.on("error", onError);
      return [topic, queue];
    }),
  ) as Record<Topic, Queue<LookAt>>;
  return {
    add: async (topic, subject, key, delayMs = 0) => {
      const options = { jobId: key, delay: delayMs, removeOnComplete: true, removeOnFail: true };
      await queues[topic].add(topic, { subject }, options);
    },
    check: async () => {
      await connection.ping();
    },
    close: async () => {
      for (const topic of TOPICS) await queues[topic].close();
      connection.disconnect();
    },
  };
}

/** Starts taking jobs; each runs its topic's look. What a look throws is reported and left to the sweep. */
export function startProcessors(
  redisUrl: string,
  prefix: string,
  looks: Readonly<Record<Topic, (subject: string) => Promise<void>>>,
  onError: (error: unknown) => void,
): { close(): Promise<void> } {
  const started = TOPICS.map((topic) => {
    const connection = new Redis(redisUrl, { maxRetriesPerRequest: null });
    connection.on("error", onError);
    const worker = new Worker<LookAt>(topic, ({ data }) => looks[topic](data.subject), {
      connection,
      prefix,
      concurrency: CONCURRENCY[topic],
      stalledInterval: 5_000,
      drainDelay: 5,
    });
    worker.on("error", onError);
    worker.on("failed", (_job, error) => onError(error));
    return { worker, connection };
  });
  return {
    close: async () => {
      await Promise.all(started.map(({ worker }) => worker.close()));
      for (const { connection } of started) connection.disconnect();
    },
  };
}
