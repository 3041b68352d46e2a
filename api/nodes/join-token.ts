import { z } from "zod";
import { durationMs } from "../../contract/document/units.ts";
import type { JoinTokenRequest } from "../../contract/node/host.ts";
import { Problem } from "../../contract/problem.ts";
import { makeToken } from "../../contract/token.ts";
import { findJoinName, insertToken, revokeNodeTokens } from "../../db/access/tokens.ts";
import type { Tx } from "../../db/client.ts";
import { viewNode } from "../../db/nodes/nodes.ts";
import { type ChangeOutcome, change, hashOf } from "../apps/change.ts";
import { type ApiDeps, hexOf, sha256Bytes } from "../deps.ts";
import { actorName } from "../http/auth.ts";
import type { KnownCall } from "../http/route.ts";
import { statusOf } from "./answers.ts";
import { joinCommand } from "./join-command.ts";

export const JoinTokenAnswer = z.strictObject({
  token: z.string(),
  node: z.string(),
  expiresAt: z.string(),
  /** To be typed on the other host, in a checkout of Waybill. */
  command: z.string(),
  /** Why no other host can use the command as things are; null where nothing is known against it. */
  note: z.string().nullable(),
});
export type JoinTokenAnswer = z.infer<typeof JoinTokenAnswer>;

/** All that is kept of the answer: the token is made of it and of the caller's own, and is stored nowhere. */
type Kept = { readonly node: string; readonly expiresAt: string; readonly salt: string };

/** How often another name is tried where one that was made up is some node's. */
const NAME_TRIES = 20;

/** A new join token; older ones for the same node end. The same request again gets the same one. */
export async function newJoinToken(
  call: KnownCall,
  body: string,
  request: JoinTokenRequest,
): Promise<ChangeOutcome<JoinTokenAnswer>> {
  const { deps, caller } = call;
  const lifeSeconds = (durationMs(request.expiresIn) ?? 0) / 1_000;
  const outcome = await change<Kept>(call, body, async (tx) => {
    const node = request.name ?? (await freeName(tx, deps));
    await refuseLiving(tx, node);
    const salt = hexOf(deps.randomBytes(16));
    const token = tokenOf(call, salt);
    await insertToken(tx, {
      id: token.id,
      kind: "join",
      projectId: caller.projectId,
      nodeName: node,
      ...(request.labels && { nodeLabels: request.labels }),
      ...(request.capacity && { nodeMost: request.capacity }),
      secretHash: sha256Bytes(deps, token.secret),
      last4: token.secret.slice(-4),
      scopes: [],
      createdBy: actorName(caller),
      lifeSeconds,
    });
    await revokeNodeTokens(tx, "join", node, token.id);
    const expiresAt = new Date(Date.now() + lifeSeconds * 1_000).toISOString();
    const { labels = {}, capacity = {} } = request;
    const after = hashOf(call, JSON.stringify({ labels, capacity }));
    return {
      status: 201,
      value: { node, expiresAt, salt },
      audits: [{ object: `node:${node}`, before: null, after }],
    };
  });
  const { node, expiresAt, salt } = outcome.value;
  const token = tokenOf(call, salt).text;
  const how = joinCommand(call.c.req.url, await deps.outward(), token);
  return { ...outcome, value: { token, node, expiresAt, ...how } };
}

/** A node that answers is not to lose its place by a slip of the hand. */
async function refuseLiving(tx: Tx, name: string): Promise<void> {
  const node = await viewNode(tx, name);
  if (node === undefined) return;
  const status = statusOf(node, Date.now());
  if (["unreachable", "never-seen", "fenced"].includes(status)) return;
  throw new Problem(
    "node-taken",
    `There is a node ${name} already, and it answers; choose another name, or remove that node first.`,
  );
}

async function freeName(tx: Tx, deps: Pick<ApiDeps, "randomBytes">): Promise<string> {
  for (let tries = 0; tries < NAME_TRIES; tries++) {
    const name = `node-${hexOf(deps.randomBytes(2))}`;
    if ((await viewNode(tx, name)) === undefined && !(await findJoinName(tx, name))) return name;
  }
  throw new Error(`none of ${NAME_TRIES} names that were made up is free`);
}

/**
 * Nobody without the caller's token can make it, and the caller can again: so it need not be kept for
 * the request's repetition.
 */
function tokenOf(call: KnownCall, salt: string) {
  const authorization = call.c.req.header("authorization") ?? "";
  let block = 0;
  return makeToken("join", (count) => {
    const bytes = sha256Bytes(call.deps, `join token\n${authorization}\n${salt}\n${block++}`);
    return bytes.slice(0, count);
  });
}
