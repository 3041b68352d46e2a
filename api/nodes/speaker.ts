import { z } from "zod";
import type { NodeId, PodId } from "../../contract/ids.ts";
import { howToJoinAnew, NO_SESSION, SESSION_HEADER } from "../../contract/node/host.ts";
import { PROTOCOL_HEADER, toldProtocol } from "../../contract/node/skew.ts";
import { Problem } from "../../contract/problem.ts";
import type { NodeSpokenFor } from "../../db/access/callers.ts";
import { findNode, podsOfOthers } from "../../db/nodes/nodes.ts";
import { noteRefusal } from "../../db/nodes/sessions.ts";
import { auditDenied, auditDeniedOnce } from "../apps/change.ts";
import type { Ask } from "../ask.ts";
import type { Caller } from "../http/auth.ts";
import type { KnownCall } from "../http/route.ts";

/** An agent and the node that it speaks for: all that it takes to ask whether it still does. */
export type Speaker = {
  readonly node: NodeId;
  readonly name: string;
  readonly token: string;
  readonly session: string;
};

/** The node that the token belongs to, asked by the agent that speaks for it; the caller cannot name another. */
export async function speakerOf(call: KnownCall): Promise<Speaker> {
  const session = sessionOf(call);
  const name = nodeName(call.caller);
  const node = openTo(name, call.caller.node);
  if (!(await speaksFor(call.deps.ask, node, session))) throw await whyNot(call, name, node.id);
  return { node: node.id, name, token: call.caller.tokenId, session };
}

/** Another agent has the node, or it was removed a moment ago. */
async function whyNot(call: KnownCall, name: string, node: NodeId): Promise<Problem> {
  const isThere = (await findNode(call.deps.db, name)) === node;
  return isThere ? await takenProblem(call, node) : shutOut(name);
}

export async function nodeOf(call: KnownCall): Promise<NodeId> {
  return (await speakerOf(call)).node;
}

/**
 * How the node stands now, asked for an agent that may have lost it while it waited. That another one has
 * it goes on record when this one asks anew.
 */
export async function askAgain(
  ask: Ask,
  { name, token, session }: Omit<Speaker, "node">,
): Promise<NodeSpokenFor> {
  const node = openTo(name, (await ask.caller(token))?.node);
  if (!(await speaksFor(ask, node, session))) throw taken(name);
  return node;
}

/** The node, unless a person fenced it, or its token has ended. */
function openTo(name: string, node: NodeSpokenFor | null | undefined): NodeSpokenFor {
  if (!node || node.fenced) throw shutOut(name);
  return node;
}

async function speaksFor(
  ask: Ask,
  { id: node, heard }: NodeSpokenFor,
  session: string,
): Promise<boolean> {
  return heard === session || (await ask.claim({ node, session }));
}

/** The same for what asks in the node's name without being its agent: the runtime, for images. */
export function nodeOfToken({ caller }: KnownCall): NodeId {
  if (caller.node === null) throw shutOut(nodeName(caller));
  return caller.node.id;
}

/** Why another session than this one has the node; on record the first time, and then once in a while. */
export async function takenProblem(call: KnownCall, node: NodeId): Promise<Problem> {
  const { db, log } = call.deps;
  const name = nodeName(call.caller);
  if (await noteRefusal(db, node, sessionOf(call))) {
    log.warn("a second agent speaks for a node", { node: name });
    await auditDenied(call, { action: "node.session", object: `node:${name}` });
  }
  return taken(name);
}

function taken(name: string): Problem {
  return new Problem(
    "node-taken",
    `Another agent speaks for ${name} and was heard of within the last 30 s. After a reboot, wait; a copy of a host has to join as a node of its own.`,
  );
}

/**
 * Puts on record that a node speaks of pods that are another's: a copy of a host's disk, or worse.
 * `strangers` are all that are not its own; most of those are forgotten here, and harmless.
 */
export async function alarmAbout(
  call: KnownCall,
  node: NodeId,
  strangers: readonly PodId[],
): Promise<void> {
  const foreign = await podsOfOthers(call.deps.db, node, strangers);
  if (foreign.length === 0) return;
  const name = nodeName(call.caller);
  call.deps.log.warn("a node speaks of another node's pods", { node: name, foreign });
  await auditDeniedOnce(call, { action: "node.foreign-pods", object: `node:${name}` });
}

export function sessionOf(call: KnownCall): string {
  const read = z.uuid().safeParse(call.c.req.header(SESSION_HEADER) ?? NO_SESSION);
  if (read.success) return read.data.toLowerCase();
  throw new Problem("body-invalid", `The header ${SESSION_HEADER} must be a UUID.`);
}

/** What the agent that asks speaks. */
export function protocolOf(call: KnownCall): number {
  const told = toldProtocol(call.c.req.header(PROTOCOL_HEADER));
  if (told !== undefined) return told;
  throw new Problem("body-invalid", `The header ${PROTOCOL_HEADER} must be a whole number.`);
}

export function nodeName(caller: Caller): string {
  if (caller.nodeName === null) throw new Error(`the token ${caller.tokenId} names no node`);
  return caller.nodeName;
}

/** What an agent takes for the end of its token: it joins anew where it can, and stops no pod. */
export function shutOut(name: string): Problem {
  return new Problem("token-invalid", howToJoinAnew(name));
}
