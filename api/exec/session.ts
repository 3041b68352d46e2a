import type { AppId } from "../../contract/ids.ts";
import type { ExecExit, ExecSession } from "../../contract/node/exec.ts";
import type { Tx } from "../../db/client.ts";
import { leaveExec, openExec, takeOutput } from "../../db/streams/execs.ts";
import type { ApiDeps } from "../deps.ts";
import type { ExecTarget } from "./target.ts";

/** Announcements can be lost; a look every second cannot. */
const LOOK_EVERY_MS = 1_000;

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
  await openExec(tx, { id, pod, container: target.container, ...wish }, { app, node, input });
  return id;
}

/**
 * The person's side of a session: hands over every frame as it comes, and answers how it ended.
 * When `signal` is aborted, `mayGoOn` says no or an error is thrown, the command is ended.
 */
export async function attendSession(
  deps: Pick<ApiDeps, "db" | "changes">,
  id: string,
  options: {
    readonly signal: AbortSignal;
    readonly onFrame: (frame: Uint8Array) => Promise<void> | void;
    readonly mayGoOn: () => Promise<boolean>;
  },
): Promise<ExecExit> {
  const { signal, onFrame, mayGoOn } = options;
  using watch = deps.changes.watch(`exec:${id}`);
  try {
    for (;;) {
      const progress = await takeOutput(deps.db, id);
      if (progress === undefined) return cutOff("the session was given up");
      for (const frame of progress.frames) await onFrame(frame);
      if (progress.exit) return progress.exit;
      if (signal.aborted) return cutOff("nobody waited for it any more");
      if (!(await mayGoOn())) return cutOff("the token does not allow it any more");
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

function cutOff(error: string): ExecExit {
  return { cause: "cut-off", error };
}
