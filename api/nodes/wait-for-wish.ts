import {
  type DesiredState,
  type Held,
  type HeldWish,
  readRouting,
  wishTag,
} from "../../contract/node/protocol.ts";
import { Problem } from "../../contract/problem.ts";
import type { NodeWish } from "../../db/nodes/desired.ts";
import { isOfHistory } from "../../db/nodes/history.ts";
import { raiseRoutes } from "../../db/nodes/routes.ts";
import type { ApiDeps } from "../deps.ts";
import type { Aborting } from "../http/changes.ts";
import type { PlainAnswer } from "../http/later.ts";
import { sealForNode } from "../materials/node-secrets.ts";
import { aheadProblem } from "./ahead.ts";
import { askAgain, type Speaker } from "./speaker.ts";

/** The first protocol whose agents know of marks, of pods that are kept, and of a key. */
const MARKED_SINCE = 2;

/** What an agent asks for; of its request nothing else is kept while it waits. */
export type WishQuestion = {
  readonly speaker: Speaker;
  /** What the agent speaks. */
  readonly protocol: number;
  /** The tag of the wish that it does not want again; undefined: it wants any. */
  readonly tag: string | undefined;
  /** What it has in hand; undefined: nothing. */
  readonly held: Held | undefined;
  readonly waitMs: number;
};

/** The wish, at once when it is another than the agent's, else when it becomes one, else 304. */
export async function waitForWish(
  deps: ApiDeps,
  question: WishQuestion,
  gone: Aborting,
): Promise<PlainAnswer> {
  const { ask, changes, stopping } = deps;
  const { speaker, waitMs } = question;
  const untilMs = Date.now() + waitMs;
  using watch = changes.watch(`node:${speaker.node}`);
  let isNews = false;
  for (;;) {
    // News are of the wish: it is read at once, beside the question whether this agent is to have it.
    const reading = isNews ? ask.wish(speaker.node) : undefined;
    const [{ wish: version }, wish] = await Promise.all([askAgain(ask, speaker), reading]);
    if (wish && isAnother(wish.desired, question)) return await answerWish(deps, question, wish);
    if (version === undefined) throw noPlan();
    if (isAnother(version, question)) return await readWish(deps, question);
    const leftMs = untilMs - Date.now();
    if (leftMs <= 0 || stopping.aborted) return unchanged(version);
    isNews = await watch.changed(leftMs, gone);
    if (gone.aborted) return unchanged(version);
  }
}

export async function readWish(deps: ApiDeps, question: WishQuestion): Promise<PlainAnswer> {
  const wish = await deps.ask.wish(question.speaker.node);
  if (wish === undefined) throw noPlan();
  return await answerWish(deps, question, wish);
}

/** Whether a wish is not the one that the agent holds, though both may have counted alike. */
export function isAnother(wish: HeldWish, { tag, held }: WishQuestion): boolean {
  const { routingMark: _, ...unmarked } = wish;
  const isTagged = tag === wishTag(wish) || tag === wishTag(unmarked);
  return !isTagged || (held?.mark !== undefined && held.mark !== wish.mark);
}

/** Nothing is told to a node that holds what was never wished here: its generations are others'. */
async function answerWish(
  deps: ApiDeps,
  question: WishQuestion,
  wish: NodeWish,
): Promise<PlainAnswer> {
  const { speaker, protocol, held } = question;
  if (held !== undefined && !isOfHistory(held, wish.plan))
    throw aheadProblem(speaker.name, held, wish.plan);
  const others = routingOfOthers(question, wish.desired);
  if (others !== undefined) {
    await raiseRoutes(deps.db, others);
    return await readWish(deps, question);
  }
  const secrets = await sealForNode(deps, wish.publicKey, wish.secrets);
  const body: DesiredState = { ...toldTo(protocol, wish.desired), secrets };
  const headers = {
    "content-type": "application/json",
    "cache-control": "no-store",
    etag: wishTag(body),
  };
  return { status: 200, headers, body: JSON.stringify(body) };
}

/** An agent from before there were these takes no wish with one. */
function toldTo(protocol: number, desired: NodeWish["desired"]): NodeWish["desired"] {
  const { mark: _, routingMark: __, keepPods: ___, ingressKey: ____, ...unmarked } = desired;
  return protocol < MARKED_SINCE ? unmarked : desired;
}

/**
 * The number of the routes that the agent has with this very wish, where it would take ours for no news and
 * they are not ours: a restored database counts routes anew, whether or not the node's own pods have
 * changed since the backup.
 */
function routingOfOthers({ tag, held }: WishQuestion, wish: HeldWish): number | undefined {
  if (tag === undefined || held?.generation !== wish.generation) return undefined;
  const told = readRouting(tag);
  if (told === undefined || told.routing < wish.routing) return undefined;
  const { routing, routingMark = wish.routingMark } = told;
  const isOurs = routing === wish.routing && routingMark === wish.routingMark;
  return isOurs ? undefined : routing;
}

function unchanged(wish: HeldWish): PlainAnswer {
  return { status: 304, headers: { etag: wishTag(wish) }, body: null };
}

/** Not an empty wish: that would be an order to stop everything. */
function noPlan(): Problem {
  return new Problem("not-ready", "There is no plan for this node yet; keep what you have.");
}
