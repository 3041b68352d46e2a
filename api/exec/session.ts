import type { AppId } from "../../contract/ids.ts";
import type { ExecExit, ExecSession } from "../../contract/node/exec.ts";
import { Problem } from "../../contract/problem.ts";
import type { Tx } from "../../db/client.ts";
import { countExecs, leaveExec, openExec, showPerson, takeOutput } from "../../db/streams/execs.ts";
import type { ApiDeps } from "../deps.ts";
import type { ExecTarget } from "./target.ts";

/** Announcements can be lost; a look every second cannot. */
const LOOK_EVERY_MS = 1_000;
/** While somebody takes output slowly, that they are there is shown so often. */
const SHOW_EVERY_MS = 3_000;
/** Commands of one app at once: more than people type, fewer than a node suffers from. */
const MAX_OPEN = 16;
export const TOKEN_ENDED = "the token does not allow it any more";

export type ExecWish = Pick<ExecSession, "command" | "tty" | "stdin" | "timeoutSeconds">;

/** Writes the session down for its node, which is told; answers its id. */
export async function beginSession(
  tx: Tx,
  about: { readonly app: AppId; readonly target: ExecTarget; readonly wish: ExecWish },
  input?: readonly Uint8Array[],
): Promise<string> {
  const { app, target, wish } = about;
  const id = crypto.randomUUID();
  const { pod, node } = target.candidate;
  await refuseTooMany(tx, app);
  await openExec(tx, { id, pod, container: target.container, ...wish }, { app, node, input });
  return id;
}

/** In a transaction nobody else opens one more until it ends. */
export async function refuseTooMany(tx: Tx, app: AppId): Promise<void> {
  if ((await countExecs(tx, app)) < MAX_OPEN) return;
  const detail = `${MAX_OPEN} commands are open in this app; end one of them first.`;
  throw new Problem("exec-too-many", detail, { extras: { retry: true } });
}

/**
 * The person's side of a session: hands over every frame as it comes, and answers how it ended.
 * When `signal` is aborted, `endsBecause` says why it may not go on or an error is thrown, the
 * command is ended.
 */
export async function attendSession(
  deps: Pick<ApiDeps, "db" | "changes">,
  id: string,
  options: {
    readonly signal: AbortSignal;
    readonly onFrame: (frame: Uint8Array) => Promise<void> | void;
    readonly endsBecause: () => Promise<string | undefined>;
  },
): Promise<ExecExit> {
  const { signal, onFrame, endsBecause } = options;
  using watch = deps.changes.watch(`exec:${id}`);
  const overBecause = async () =>
    signal.aborted ? "nobody waited for it any more" : await endsBecause();
  try {
    for (;;) {
      const progress = await takeOutput(deps.db, id);
      if (progress === undefined) return cutOff("the session was given up");
      const handing = handOver(progress.frames, onFrame);
      // Who takes them slowly is there all the same, and the agent is to know: but not for ever.
      while (!(await isOverIn(SHOW_EVERY_MS, handing))) {
        await showPerson(deps.db, id);
        const reason = await overBecause();
        if (reason !== undefined) return cutOff(reason);
      }
      if (progress.exit) return progress.exit;
      const reason = await overBecause();
      if (reason !== undefined) return cutOff(reason);
      if (progress.agentGone) {
        const ending = progress.taken ? "is silent" : "did not take the command up";
        return cutOff(`the pod's node ${ending}`);
      }
      if (progress.frames.length === 0) await watch.changed(LOOK_EVERY_MS, signal);
    }
  } finally {
    await leaveExec(deps.db, id);
  }
}

export function cutOff(error: string): ExecExit {
  return { cause: "cut-off", error };
}

async function handOver(
  frames: readonly Uint8Array[],
  onFrame: (frame: Uint8Array) => Promise<void> | void,
): Promise<void> {
  for (const frame of frames) await onFrame(frame);
}

async function isOverIn(ms: number, work: Promise<void>): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), ms);
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
