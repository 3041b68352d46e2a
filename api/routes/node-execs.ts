import { z } from "zod";
import { fromBase64, toBase64 } from "../../contract/base64.ts";
import type { NodeId } from "../../contract/ids.ts";
import {
  ExecInput,
  ExecOutput,
  ExecWork,
  MAX_EXEC_INPUT_WAIT_MS,
} from "../../contract/node/exec.ts";
import { Problem } from "../../contract/problem.ts";
import { claimExecs, forgetExec, putOutput, readInput, touchExec } from "../../db/streams/execs.ts";
import { auditDeniedOnce } from "../apps/change.ts";
import type { ApiDeps } from "../deps.ts";
import type { Aborting, Watch } from "../http/changes.ts";
import { answerLater, type PlainAnswer } from "../http/later.ts";
import { DesiredQuery, NoQuery, wholeNumber } from "../http/query.ts";
import { type KnownCall, pathPart, type Route, route } from "../http/route.ts";
import { askAgain, type Speaker, speakerOf } from "../nodes/speaker.ts";
import { parseBody } from "./node-sync.ts";

const InputQuery = z.strictObject({
  after: wholeNumber(0, 999_999_999).default(0),
  waitMs: wholeNumber(0, MAX_EXEC_INPUT_WAIT_MS).default(MAX_EXEC_INPUT_WAIT_MS),
});
/** An agent whose output is not taken waits so long before it tries again. */
const BEHIND_MS = 3_000;

const OF_NODE = { auth: ["node"], scope: null, project: "node", audit: null } as const;

export const nodeExecRoutes: readonly Route[] = [
  route({
    ...OF_NODE,
    method: "GET",
    path: "/v1/node/execs",
    bodyLimit: 0,
    summary: "Commands to run in the node's pods, each handed out once, as soon as there is one",
    query: DesiredQuery,
    answers: { 200: ExecWork },
    handle: async (call) => {
      const { deps, query } = call;
      const speaker = await speakerOf(call);
      return answerLater(call, (gone) => waitForWork(deps, speaker, query.waitMs, gone));
    },
  }),
  route({
    ...OF_NODE,
    method: "GET",
    path: "/v1/node/execs/:id/input",
    bodyLimit: 0,
    summary: "What the person sent to the command, as soon as there is something",
    query: InputQuery,
    answers: { 200: ExecInput },
    handle: async (call) => {
      const id = pathPart(call, "id");
      const { after, waitMs } = call.query;
      await touch(call);
      using watch = call.deps.changes.watch(`exec:${id}`);
      const speaker = await speakerOf(call);
      const gone = call.c.req.raw.signal;
      for await (const last of turns({ ...call.deps, speaker, waitMs, gone }, watch)) {
        const { frames, ended } = await readInput(call.deps.db, id, after);
        if (frames.length > 0 || ended || last) {
          const sent = frames.map(({ seq, frame }) => ({ seq, frame: toBase64(frame) }));
          return call.c.json({ frames: sent, ended });
        }
        await touch(call);
      }
      return call.c.json({ frames: [], ended: false });
    },
  }),
  route({
    ...OF_NODE,
    method: "POST",
    path: "/v1/node/execs/:id/output",
    bodyLimit: 4 * 1024 * 1024,
    summary: "What the command wrote, and how it ended",
    query: NoQuery,
    body: ExecOutput,
    answers: { 202: "not taken: the person does not keep up, so send it again", 204: "taken" },
    handle: async (call) => {
      const output = await parseBody(call, ExecOutput, "report-invalid");
      const id = pathPart(call, "id");
      if ((await roomFor(call, output.exit !== undefined)) === "behind") {
        return call.c.body(null, 202);
      }
      const { first, exit } = output;
      const frames = output.frames.map(fromBase64);
      await putOutput(call.deps.db, id, { first, frames, exit });
      return call.c.body(null, 204);
    },
  }),
];

async function waitForWork(
  deps: ApiDeps,
  speaker: Speaker,
  waitMs: number,
  gone: Aborting,
): Promise<PlainAnswer> {
  const { ask, changes, db, stopping } = deps;
  using watch = changes.watch(`execs:${speaker.node}`);
  for await (const _ of turns({ ask, stopping, speaker, waitMs, gone }, watch)) {
    const sessions = await claimExecs(db, speaker.node);
    if (sessions.length > 0) return workOf(sessions);
  }
  return workOf([]);
}

function workOf(sessions: Readonly<ExecWork["sessions"]>): PlainAnswer {
  const headers = { "content-type": "application/json" };
  return { status: 200, headers, body: JSON.stringify({ sessions }) };
}

/** A sign of life in the path's session, of this node's own; 410 once nobody waits for it. */
async function touch(call: KnownCall, isLast = false): Promise<"open" | "behind"> {
  const id = pathPart(call, "id");
  const side = z.uuid().safeParse(id).success
    ? await touchExec(call.deps.db, await nodeStill(call), id)
    : "none";
  if (side === "anothers")
    await auditDeniedOnce(call, { action: "node.foreign-command", object: `exec:${id}` });
  if (side === "none" || side === "anothers")
    throw new Problem("not-found", "This node has no such command.");
  if (side !== "over") return side;
  if (isLast) await forgetExec(call.deps.db, id);
  throw new Problem("exec-over", "Nobody waits for this command any more; end it.");
}

/** Waits a while for the person to take what is there. */
async function roomFor(call: KnownCall, isLast: boolean): Promise<"open" | "behind"> {
  using watch = call.deps.changes.watch(`exec:${pathPart(call, "id")}`);
  const untilMs = Date.now() + BEHIND_MS;
  for (;;) {
    const side = await touch(call, isLast);
    const leftMs = untilMs - Date.now();
    if (side === "open" || leftMs <= 0 || call.deps.stopping.aborted) return side;
    await watch.changed(Math.min(leftMs, 500), call.c.req.raw.signal);
  }
}

/**
 * A turn at once, and one after each change, until the time is up or the api stops; true: it is the
 * last one. None once the asker is gone: what is handed out then is lost.
 */
async function* turns(
  { ask, stopping, speaker, waitMs, gone }: Turns,
  watch: Watch,
): AsyncGenerator<boolean, void> {
  const untilMs = Date.now() + waitMs;
  while (!gone.aborted) {
    const leftMs = untilMs - Date.now();
    const last = leftMs <= 0 || stopping.aborted;
    yield last;
    if (last) return;
    await watch.changed(leftMs, gone);
    // It may have lost its node meanwhile.
    if (!gone.aborted) await askAgain(ask, speaker);
  }
}

type Turns = Pick<ApiDeps, "ask" | "stopping"> & {
  readonly speaker: Speaker;
  readonly waitMs: number;
  readonly gone: Aborting;
};

async function nodeStill(call: KnownCall): Promise<NodeId> {
  return (await askAgain(call.deps.ask, await speakerOf(call))).id;
}
