import { fromBase64 } from "../../contract/base64.ts";
import type { NodeId } from "../../contract/ids.ts";
import { POD_RANGES } from "../../contract/node/host.ts";
import type { JoinAnswer, JoinRequest } from "../../contract/node/protocol.ts";
import { Problem } from "../../contract/problem.ts";
import { makeToken } from "../../contract/token.ts";
import { insertToken, revokeNodeTokens, useJoinToken } from "../../db/access/tokens.ts";
import { renewWish } from "../../db/nodes/desired.ts";
import { claimPodRange, ensureNode, type RangeOutcome, storeNodeKey } from "../../db/nodes/join.ts";
import { renewRoutes } from "../../db/nodes/routes.ts";
import { claimSession, wakeAgents } from "../../db/nodes/sessions.ts";
import { auditDeniedOnce, change } from "../apps/change.ts";
import { sha256Bytes } from "../deps.ts";
import type { KnownCall } from "../http/route.ts";
import { nodeName, sessionOf, takenProblem } from "./speaker.ts";

const NODE_TOKEN_SECONDS = 24 * 3_600;

/** Thrown out of the transaction, which leaves no trace: the refusal is written down after it. */
class NodeTaken extends Error {
  readonly node: NodeId;
  constructor(node: NodeId) {
    super("another session speaks for this node");
    this.node = node;
  }
}

/**
 * The join token's node, with a new token; its older ones end. With another key than before it has to
 * be told its secrets anew. While the node's agent is heard of, no other host takes its place.
 */
export async function join(call: KnownCall, request: JoinRequest): Promise<JoinAnswer> {
  try {
    return await joinOnce(call, request);
  } catch (error) {
    if (error instanceof NodeTaken) throw await takenProblem(call, error.node);
    if (error instanceof Problem) await auditDeniedOnce(call);
    throw error;
  }
}

async function joinOnce(call: KnownCall, request: JoinRequest): Promise<JoinAnswer> {
  const { deps, caller } = call;
  const name = nodeName(caller);
  const publicKey = fromBase64(request.publicKey);
  const token = makeToken("node", deps.randomBytes);
  const joiner = deps.addressOf(call.c);
  const start = randomBelow(POD_RANGES, deps.randomBytes);
  const { value } = await change(call, "", async (tx) => {
    const joining = await useJoinToken(tx, caller.tokenId, publicKey);
    if (!joining) throw new Problem("token-invalid", "This join token was used already.");
    const node = await ensureNode(tx, name, joining);
    if (node === undefined) throw fencedProblem(name);
    if (!(await claimSession(tx, node, sessionOf(call)))) throw new NodeTaken(node);
    const outcome = await claimPodRange(tx, node, request.podRange, { start, joiner });
    if (outcome.kind !== "given") throw rangeProblem(outcome, request);
    if (await storeNodeKey(tx, node, publicKey)) await renewWish(tx, node);
    await insertToken(tx, {
      id: token.id,
      kind: "node",
      projectId: caller.projectId,
      nodeName: name,
      secretHash: sha256Bytes(deps, token.secret),
      last4: token.secret.slice(-4),
      scopes: [],
      createdBy: `join:${caller.tokenId}`,
      lifeSeconds: NODE_TOKEN_SECONDS,
    });
    await revokeNodeTokens(tx, "node", name, token.id);
    await wakeAgents(tx, node);
    // By its labels it passes requests on, or does not: it and those whose pods it reaches are to know.
    if (joining.labels) await renewRoutes(tx);
    return {
      status: 201,
      value: { node, podRange: outcome.range },
      audits: [{ object: `node:${name}`, before: null, after: null }],
    };
  });
  return { ...value, name, token: token.text };
}

function fencedProblem(name: string): Problem {
  return new Problem(
    "node-fenced",
    `${name} was fenced. It may join again once a person says so: POST /v1/nodes/${name}/uncordon, or a join token that is made for it.`,
  );
}

function rangeProblem(
  outcome: Exclude<RangeOutcome, { kind: "given" }>,
  { podRange }: JoinRequest,
): Problem {
  if (outcome.kind === "none-left") {
    const why = "Every range of pod addresses is some node's; remove the nodes that are no more.";
    return new Problem("pod-range-taken", why);
  }
  const { by, as } = outcome;
  const has = as === "pods" ? `has the pod addresses ${podRange}` : `is reached in ${podRange}`;
  return new Problem("pod-range-taken", `${by} ${has}; join without a range to be given one.`);
}

/** Each number is equally likely where `below` is a power of two, as the count of ranges is. */
function randomBelow(below: number, randomBytes: (count: number) => Uint8Array): number {
  const [high = 0, low = 0] = randomBytes(2);
  return (high * 256 + low) % below;
}
