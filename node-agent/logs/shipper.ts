import type { PodId } from "../../contract/ids.ts";
import {
  LogBatchAnswer,
  type LogChunk,
  type LogSource,
  MAX_LOG_BATCH_BYTES,
} from "../../contract/node/logs.ts";
import { backoffMs } from "../../kit/backoff.ts";
import { eachInTurn } from "../../kit/each-in-turn.ts";
import type { Log } from "../../kit/log.ts";
import { rest } from "../../kit/rest.ts";
import type { ApiClient } from "../api/client.ts";
import { readJson } from "../disk/read-json.ts";
import { type LogFiles, logFilesIn, logFilesOf } from "./files.ts";
import { followLog, type LogFollower } from "./follower.ts";

export type LogShipper = {
  readonly done: Promise<void>;
  /** Whether the api has all that the pod's containers wrote, or does not want it. */
  isShipped(pod: PodId): boolean;
};

const LOOK_EVERY_MS = 500;
/** While some log is full of news, batches follow each other with this pause, to be worth their while. */
const BUSY_PAUSE_MS = 100;
/** A flood fills no batch alone: others have room in each. */
const CHUNK_BYTES = 64 * 1024;
const READ_BYTES = 64 * 1024;
/** Well below what one question may hold. */
const CHUNKS_AT_ONCE = 500;
/** A source that the api did not want may have become this node's own meanwhile. */
const ASK_AGAIN_MS = 60_000;
const RETRY = { minMs: 250, maxMs: 10_000 };

type Kept = LogBatchAnswer["kept"];
/** What the api said to a batch; `refused` is for good. */
type Outcome = { readonly kept: Kept } | { readonly failed: string; readonly refused: boolean };

/**
 * Ships what containers write until `signal` is aborted, with the api's answers as its only memory:
 * it holds one batch, and what the api does not have yet stays in the files.
 */
export function openLogShipper(deps: {
  readonly client: ApiClient;
  readonly logsDir: string;
  readonly signal: AbortSignal;
  readonly log: Log;
}): LogShipper {
  const { client, logsDir, signal, log } = deps;
  const followers = new Map<string, LogFollower>();
  const unwantedAtMs = new Map<string, number>();
  /** Whose words this turn has read: the api may not have them yet. */
  const held = new Set<string>();
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  let failures = 0;

  function look(): void {
    const found = new Set(logFilesIn(logsDir).map((it) => watch(it).key));
    for (const key of followers.keys()) {
      if (found.has(key)) continue;
      followers.delete(key);
      unwantedAtMs.delete(key);
    }
  }

  function watch(files: LogFiles) {
    const key = keyOf(files.source);
    const follower = followers.get(key) ?? followLog(files);
    follower.refresh(files);
    followers.set(key, follower);
    return { key, follower };
  }

  async function turn(): Promise<"busy" | "idle"> {
    look();
    await askPlaces();
    const batch: LogChunk[] = [];
    try {
      await gather(batch);
    } finally {
      if (batch.length > 0) await deliver(batch);
      held.clear();
    }
    return batch.length > 0 ? "busy" : "idle";
  }

  /** Of those that are new here, how far the api has them. */
  async function askPlaces(): Promise<void> {
    const mayBeAsked = (key: string) => {
      const atMs = unwantedAtMs.get(key);
      return atMs === undefined || performance.now() - atMs > ASK_AGAIN_MS;
    };
    const unplaced = [...followers].filter(([key, it]) => !it.isPlaced() && mayBeAsked(key));
    const questions = unplaced.slice(0, CHUNKS_AT_ONCE).map(([, it]) => {
      return { ...it.source, from: 0, to: 0, dropped: 0, lines: [] };
    });
    if (questions.length > 0) await deliver(questions);
  }

  /** One chunk of each that has something, and of no more than a batch takes; the next turn begins with the others. */
  async function gather(batch: LogChunk[]): Promise<void> {
    let room = MAX_LOG_BATCH_BYTES - CHUNK_BYTES;
    await eachInTurn([...followers], async ([key, follower]) => {
      const isFull = room <= 0 || batch.length >= CHUNKS_AT_ONCE;
      if (isFull || signal.aborted || !follower.hasMore()) return;
      held.add(key);
      const chunk = await read(follower);
      if (!chunk) return;
      batch.push(chunk);
      room -= Buffer.byteLength(JSON.stringify(chunk));
      followers.delete(key);
      followers.set(key, follower);
    });
  }

  /** One that fails is read again from where the api has it: what was read of it before that is lost. */
  async function read(follower: LogFollower): Promise<LogChunk | undefined> {
    try {
      return await follower.next(CHUNK_BYTES, buffer);
    } catch (error) {
      follower.forget();
      throw error;
    }
  }

  /** Until the api has said what becomes of it, in parts where it refuses the whole. */
  async function deliver(batch: readonly LogChunk[]): Promise<void> {
    for (;;) {
      const outcome = await send(batch);
      if (signal.aborted) return;
      if ("kept" in outcome) {
        failures = 0;
        return place(batch, outcome.kept);
      }
      if (outcome.refused) return refused(batch, outcome.failed);
      if (failures === 0) log.warn("logs could not be sent", { because: outcome.failed });
      await rest(backoffMs(failures, RETRY), signal);
      failures += 1;
    }
  }

  /** Goes on behind the chunk that is not taken, and with all that came with it. */
  async function refused(batch: readonly LogChunk[], because: string): Promise<void> {
    const half = Math.ceil(batch.length / 2);
    if (half < batch.length) {
      await deliver(batch.slice(0, half));
      return deliver(batch.slice(half));
    }
    for (const { lines, dropped, ...chunk } of batch) {
      unwantedAtMs.set(keyOf(chunk), performance.now());
      log.warn("words that the api does not take are left out", { ...chunk, because });
    }
  }

  async function send(batch: readonly LogChunk[]): Promise<Outcome> {
    const question = { method: "POST", path: "/v1/node/logs", json: { chunks: batch } } as const;
    const answer = await client.ask(question, signal);
    if (typeof answer === "string") return { failed: answer, refused: false };
    const failed = `the api answered ${answer.status}`;
    if (answer.status !== 200) return { failed, refused: [400, 413, 422].includes(answer.status) };
    const { value, problem } = readJson(LogBatchAnswer, answer.text);
    return value ?? { failed: `the answer ${problem}`, refused: false };
  }

  function place(batch: readonly LogChunk[], kept: Kept): void {
    const places = new Map(kept.map((it) => [keyOf(it), it.to]));
    for (const chunk of batch) {
      const key = keyOf(chunk);
      const to = places.get(key);
      const follower = followers.get(key);
      if (to === undefined) {
        unwantedAtMs.set(key, performance.now());
        follower?.forget();
      } else if (!follower?.isPlaced() || to !== chunk.to) follower?.seek(to);
    }
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      try {
        await rest((await turn()) === "busy" ? BUSY_PAUSE_MS : LOOK_EVERY_MS, signal);
      } catch (error) {
        if (!signal.aborted) log.error("logs could not be read", error);
        await rest(RETRY.maxMs, signal);
      }
    }
  }

  return {
    done: run(),
    // There may be words since the last look, which waits while the api is away.
    isShipped: (pod) =>
      logFilesOf(logsDir, pod)
        .map(watch)
        .every(({ key, follower }) =>
          follower.isPlaced() ? !follower.hasMore() && !held.has(key) : unwantedAtMs.has(key),
        ),
  };
}

function keyOf({ pod, container, attempt }: LogSource): string {
  return `${pod} ${container} ${attempt}`;
}
