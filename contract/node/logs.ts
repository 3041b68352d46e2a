import { z } from "zod";
import { DnsLabel, PodId } from "../ids.ts";

/*
 * The words of containers on their way to the api:
 *   POST /v1/node/logs   Bearer = node token   LogBatch -> LogBatchAnswer
 *
 * The api keeps how far it has taken each log in, and says so in every answer: after a restart an
 * agent sends a batch of empty chunks to learn where to go on, and a chunk that comes twice is stored once.
 */

/** Larger lines are cut, and end with "…". */
export const MAX_LOG_LINE_BYTES = 16 * 1024;
/** Of one batch as JSON: what an agent makes, and what the api takes, since one line may go over. */
export const MAX_LOG_BATCH_BYTES = 1024 * 1024;
export const MAX_LOG_BODY_BYTES = 2 * 1024 * 1024;
/** What a container may say in the long run, and at once; lines above that are left out and counted. */
export const LOG_RATE = { bytesPerSecond: 256 * 1024, burstBytes: 2 * 1024 * 1024 } as const;

/** What a column for a count holds. */
const MAX_COUNT = 2_147_483_647;

/** One start of one container. */
export const LogSource = z.object({
  pod: PodId,
  container: DnsLabel,
  /** Counts the starts of this container in this pod, from 0. */
  attempt: z.int().min(0).max(MAX_COUNT),
});
export type LogSource = z.infer<typeof LogSource>;

export const MAX_LOG_CHUNK_LINES = 2_000;
/** The lines of a chunk are no further apart, so that chunks can be put in the order of time. */
export const MAX_LOG_CHUNK_MS = 10_000;

export const LogLine = z.object({
  /** To the nanosecond, in UTC, so that the order of texts is the order of times. */
  at: z.iso.datetime({ precision: 9 }).refine((at) => at >= "1970", "must be from 1970 on"),
  stream: z.enum(["stdout", "stderr"]),
  text: z.string(),
});
export type LogLine = z.infer<typeof LogLine>;

/**
 * The lines from byte `from` to byte `to` of all that the container ever wrote in this start.
 * `dropped` counts those among them that were left out of a flood; a line of the agent's says so in
 * their place. No line and `from` = `to` only asks how far the source is kept.
 */
export const LogChunk = LogSource.extend({
  from: z.int().min(0),
  to: z.int().min(0),
  dropped: z.int().min(0).max(MAX_COUNT).default(0),
  lines: z.array(LogLine).max(MAX_LOG_CHUNK_LINES),
});
export type LogChunk = z.infer<typeof LogChunk>;

export const LogBatch = z.object({ chunks: z.array(LogChunk).max(1_000) });
export type LogBatch = z.infer<typeof LogBatch>;

/** Up to which byte each source of the batch is kept; a pod that is not the node's is left out. */
export const LogBatchAnswer = z.object({
  kept: z.array(LogSource.extend({ to: z.int().min(0) })),
});
export type LogBatchAnswer = z.infer<typeof LogBatchAnswer>;
