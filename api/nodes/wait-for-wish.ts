import { type DesiredState, wishTag } from "../../contract/node/protocol.ts";
import { Problem } from "../../contract/problem.ts";
import type { NodeWish } from "../../db/nodes/desired.ts";
import type { ApiDeps } from "../deps.ts";
import type { Aborting } from "../http/changes.ts";
import type { PlainAnswer } from "../http/later.ts";
import { sealForNode } from "../materials/node-secrets.ts";
import { askAgain, type Speaker } from "./speaker.ts";

/** What an agent asks for; of its request nothing else is kept while it waits. */
export type WishQuestion = {
  readonly speaker: Speaker;
  /** The tag of the wish that it holds; undefined: none. */
  readonly held: string | undefined;
  readonly waitMs: number;
};

/** The wish, at once when it is another than the agent's, else when it becomes one, else 304. */
export async function waitForWish(
  deps: ApiDeps,
  { speaker, held, waitMs }: WishQuestion,
  gone: Aborting,
): Promise<PlainAnswer> {
  const { ask, changes, stopping } = deps;
  const untilMs = Date.now() + waitMs;
  using watch = changes.watch(`node:${speaker.node}`);
  let isNews = false;
  for (;;) {
    // News are of the wish: it is read at once, beside the question whether this agent is to have it.
    const reading = isNews ? ask.wish(speaker.node) : undefined;
    const [{ wish: version }, wish] = await Promise.all([askAgain(ask, speaker), reading]);
    if (wish && wishTag(wish.desired) !== held) return await answerWish(deps, wish);
    if (version === undefined) throw noPlan();
    if (wishTag(version) !== held) return await readWish(deps, speaker);
    const leftMs = untilMs - Date.now();
    if (leftMs <= 0 || stopping.aborted) return unchanged(held);
    isNews = await watch.changed(leftMs, gone);
    if (gone.aborted) return unchanged(held);
  }
}

export async function readWish(deps: ApiDeps, speaker: Speaker): Promise<PlainAnswer> {
  const wish = await deps.ask.wish(speaker.node);
  if (wish === undefined) throw noPlan();
  return await answerWish(deps, wish);
}

async function answerWish(deps: ApiDeps, wish: NodeWish): Promise<PlainAnswer> {
  const secrets = await sealForNode(deps, wish.publicKey, wish.secrets);
  const body: DesiredState = { ...wish.desired, secrets };
  const headers = {
    "content-type": "application/json",
    "cache-control": "no-store",
    etag: wishTag(body),
  };
  return { status: 200, headers, body: JSON.stringify(body) };
}

function unchanged(held: string): PlainAnswer {
  return { status: 304, headers: { etag: held }, body: null };
}

/** Not an empty wish: that would be an order to stop everything. */
function noPlan(): Problem {
  return new Problem("not-ready", "There is no plan for this node yet; keep what you have.");
}
