import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { startDaemon } from "../kit/daemon.ts";
import { unlessAbsent } from "./files.ts";
import { furnish } from "./furnish.ts";
import { answers, type LogSince } from "./health.ts";
import { readLog } from "./logs.ts";
import type { Part } from "./part.ts";
import { logFile, type Places } from "./places.ts";
import { endProcess, identify, isAlive, killGroup, type ProcessId } from "./processes.ts";
import { dropRecord, readRecord, writeRecord } from "./records.ts";

/** A part that was started, or found running. */
export type Running = {
  readonly part: Part;
  readonly process: ProcessId;
  readonly adopted: boolean;
  readonly log: LogSince;
  /** How it ended, in words, once it has; an adopted one does not tell. */
  readonly ending: () => string | undefined;
};

/** A part did not come up: which one, why, and the last lines that it wrote. */
export class StartError extends Error {}

/** For the operator: a StartError says all that there is to say. */
export function describe(error: unknown): string {
  if (error instanceof StartError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/**
 * The part, running: the one that an earlier standalone left where it can be kept, else a new one
 * after the old one has ended. Says nothing about readiness; see `untilReady`.
 */
export async function bringUp(part: Part, places: Places): Promise<Running> {
  const left = await readRecord(places.recordsDir, part.name);
  if (left === undefined || !isAlive(left)) return launch(part, places);
  const log = { path: logFile(places, part.name), from: 0 };
  const same = part.adopt && left.launch === fingerprint(part);
  if (same && (await answersInTime(part, log))) {
    return { part, process: left, adopted: true, log, ending: () => undefined };
  }
  await endProcess(left, part.stop);
  return launch(part, places);
}

const ADOPTION = { tries: 3, pauseMs: 250 };

/** One late answer, as of a busy machine, must not cost a part that serves its life. */
async function answersInTime({ ready }: Part, log: LogSince): Promise<boolean> {
  for (let left = ADOPTION.tries; ; left--) {
    if (await answers(ready, log)) return true;
    if (left <= 1) return false;
    await sleep(ADOPTION.pauseMs);
  }
}

/**
 * Starts the part and records it, so that whoever comes after a crash of ours finds it. What a killed
 * predecessor of a program of ours was running, such as a build, ends first.
 */
export async function launch(part: Part, places: Places): Promise<Running> {
  const last = part.adopt ? undefined : await readRecord(places.recordsDir, part.name);
  if (last !== undefined) killGroup(last);
  await furnish(part);
  const path = logFile(places, part.name);
  const log = { path, from: (await unlessAbsent(stat(path)))?.size ?? 0 };
  const daemon = await startDaemon(part.program, part.argv, { env: part.env, logFile: path });
  let ending: string | undefined;
  void daemon.ended.then((words) => {
    ending = words;
  });
  const process = identify(daemon.pid);
  if (process === undefined) {
    throw new StartError(
      `${part.name} ${await daemon.ended} while starting. ${await lastWords(log)}`,
    );
  }
  const record = { ...process, launch: fingerprint(part), ports: part.ports };
  await writeRecord(places.recordsDir, part.name, record);
  return { part, process, adopted: false, log, ending: () => ending };
}

/** A child of ours is over when we were told how it ended; a moment earlier it is a zombie. */
export function isOver({ adopted, ending, process }: Running): boolean {
  return (adopted || ending() !== undefined) && !isAlive(process);
}

/** Resolves when the part answers; throws a StartError when it ends first or takes too long. */
export async function untilReady(running: Running, signal: AbortSignal): Promise<void> {
  const { part, log } = running;
  const untilMs = Date.now() + part.readyWithinMs;
  for (let pauseMs = 20; ; pauseMs = Math.min(250, pauseMs * 1.5)) {
    signal.throwIfAborted();
    if (await answers(part.ready, log)) return;
    if (isOver(running)) {
      const how = running.ending() ?? "ended";
      throw new StartError(`${part.name} ${how} while starting. ${await lastWords(log)}`);
    }
    if (Date.now() > untilMs) {
      const seconds = Math.round(part.readyWithinMs / 1_000);
      throw new StartError(`${part.name} was not ready in ${seconds} s. ${await lastWords(log)}`);
    }
    await sleep(pauseMs, undefined, { signal });
  }
}

/** Ends the part, with what its process group still holds where it belongs to the control plane. */
export async function shutDown(
  name: string,
  target: ProcessId,
  how: Part["stop"] & { readonly withGroup: boolean },
  places: Places,
): Promise<"was-gone" | "ended" | "killed"> {
  const outcome = await endProcess(target, how);
  if (how.withGroup) killGroup(target);
  await dropRecord(places.recordsDir, name);
  return outcome;
}

function fingerprint({ program, argv, env, files }: Part): string {
  return createHash("sha256")
    .update(JSON.stringify([program, argv, env, files]))
    .digest("hex");
}

async function lastWords(log: LogSince): Promise<string> {
  const written = (await readLog(log.path, log.from)).trimEnd();
  if (written === "") return `It wrote nothing to ${log.path}.`;
  const lines = written.split("\n").slice(-8);
  return `The end of ${log.path}:\n${lines.map((line) => `    ${line.slice(0, 1_000)}`).join("\n")}`;
}
