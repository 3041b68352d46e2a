import type { z } from "zod";
import { fromBase64 } from "../../contract/base64.ts";
import { fieldErrors } from "../../contract/document/mistakes.ts";
import type { NodeId } from "../../contract/ids.ts";
import { DesiredState, JoinAnswer, JoinRequest, NodeReport } from "../../contract/node/protocol.ts";
import { Problem, type ProblemSlug } from "../../contract/problem.ts";
import { makeToken } from "../../contract/token.ts";
import { recordAudit } from "../../db/access/audit.ts";
import { consumeJoinToken, insertToken, revokeNodeTokens } from "../../db/access/tokens.ts";
import { readDesired, renewWish, wishGeneration } from "../../db/nodes/desired.ts";
import { ensureNode, findNode, storeNodeKey } from "../../db/nodes/nodes.ts";
import { storeReport } from "../../db/nodes/sight.ts";
import { endPurges } from "../../db/volumes/end.ts";
import { change } from "../apps/change.ts";
import { sha256Bytes } from "../deps.ts";
import { actorName, type Caller } from "../http/auth.ts";
import { readNodeDocument, readText } from "../http/body.ts";
import { DesiredQuery, NoQuery } from "../http/query.ts";
import { type KnownCall, type Route, route } from "../http/route.ts";
import { sealForNode } from "../materials/node-secrets.ts";

const NODE_TOKEN_SECONDS = 24 * 3_600;

export const nodeSyncRoutes: readonly Route[] = [
  route({
    method: "POST",
    path: "/v1/node/join",
    auth: ["join"],
    scope: null,
    project: "node",
    audit: "node.join",
    bodyLimit: 4_096,
    summary: "A host joins, once for each join token, and gets a token of its own",
    query: NoQuery,
    body: JoinRequest,
    answers: { 201: JoinAnswer },
    handle: async (call) => {
      const { publicKey } = await parseBody(call, JoinRequest, "body-invalid");
      return call.c.json(await join(call, fromBase64(publicKey)), 201);
    },
  }),
  route({
    method: "GET",
    path: "/v1/node/desired",
    auth: ["node"],
    scope: null,
    project: "node",
    audit: null,
    bodyLimit: 0,
    summary: "All that the node should run; with If-None-Match, as soon as that is something else",
    query: DesiredQuery,
    answers: { 200: DesiredState, 304: "nothing new" },
    handle: desired,
  }),
  route({
    method: "POST",
    path: "/v1/node/report",
    auth: ["node"],
    scope: null,
    project: "node",
    audit: null,
    bodyLimit: 16 * 1024 * 1024,
    summary: "What the node saw, whole",
    query: NoQuery,
    body: NodeReport,
    answers: { 204: "taken" },
    handle: async (call) => {
      const report = await parseBody(call, NodeReport, "report-invalid");
      const id = await nodeOf(call);
      const outcome = await storeReport(call.deps.db, id, report);
      const node = call.caller.nodeName;
      if (outcome.kind === "stored") await forgetPurged(call, id, report);
      if (outcome.kind === "older") {
        const reported = report.observedGeneration;
        call.deps.log.warn("an older report was refused", { node, reported, ...outcome });
      } else if (outcome.strangers.length > 0) {
        const strangers = outcome.strangers.slice(0, 20);
        call.deps.log.warn("a node reported pods that are not its own", { node, strangers });
      }
      return call.c.body(null, 204);
    },
  }),
];

/**
 * The join token's node, with a new token; its older ones end. With another key than before it has to
 * be told its secrets anew.
 */
async function join(call: KnownCall, publicKey: Uint8Array): Promise<JoinAnswer> {
  const { deps, caller } = call;
  const name = nodeName(caller);
  const token = makeToken("node", deps.randomBytes);
  const { value } = await change(call, "", async (tx) => {
    if (!(await consumeJoinToken(tx, caller.tokenId))) {
      throw new Problem("token-invalid", "This join token was used already.");
    }
    const node = await ensureNode(tx, name);
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
    return {
      status: 201,
      value: node,
      audits: [{ object: `node:${name}`, before: null, after: null }],
    };
  });
  return { node: value, name, token: token.text };
}

/** Answers at once when the wish is another than the agent's, else when it becomes one, else 304. */
async function desired(call: KnownCall<z.infer<typeof DesiredQuery>>): Promise<Response> {
  const { deps } = call;
  const node = await nodeOf(call);
  const held = call.c.req.header("if-none-match");
  const untilMs = Date.now() + call.query.waitMs;
  const signal = AbortSignal.any([call.c.req.raw.signal, deps.stopping]);
  using watch = deps.changes.watch(`node:${node}`);
  for (;;) {
    const generation = await wishGeneration(deps.db, node);
    if (generation === undefined) throw noPlan();
    if (held !== etag(generation)) return await answerDesired(call, node);
    const leftMs = untilMs - Date.now();
    if (leftMs <= 0 || signal.aborted) {
      return call.c.body(null, 304, { etag: etag(generation) });
    }
    await watch.changed(leftMs, signal);
  }
}

async function answerDesired(call: KnownCall, node: NodeId): Promise<Response> {
  const wish = await readDesired(call.deps.db, node, call.deps.config.appsDomain);
  if (wish === undefined) throw noPlan();
  const secrets = await sealForNode(call.deps, wish.publicKey, wish.secrets);
  const body: DesiredState = { ...wish.desired, secrets };
  return call.c.json(body, 200, { etag: etag(body.generation), "cache-control": "no-store" });
}

/**
 * The node has deleted what it was told to: the wish no longer says so, and the names are free. Said of
 * the wish that stands: an earlier one may have told it to delete what had the name before.
 */
async function forgetPurged(call: KnownCall, node: NodeId, report: NodeReport): Promise<void> {
  if (report.purgedVolumes.length === 0) return;
  await call.deps.db.transaction(async (tx) => {
    if ((await wishGeneration(tx, node)) !== report.observedGeneration) return;
    const gone = await endPurges(tx, node, report.purgedVolumes);
    for (const { projectId, name } of gone) {
      await recordAudit(tx, {
        projectId,
        actor: actorName(call.caller),
        action: "volume.purged",
        object: `volume:${name}`,
        requestId: call.requestId,
        ip: call.deps.addressOf(call.c),
        result: "done",
        before: "purging",
        after: null,
      });
    }
    if (gone.length > 0) await renewWish(tx, node);
  });
}

function etag(generation: number): string {
  return `"${generation}"`;
}

/** Not an empty wish: that would be an order to stop everything. */
function noPlan(): Problem {
  return new Problem("not-ready", "There is no plan for this node yet; keep what you have.");
}

/** The node that the token belongs to; the caller cannot name another. */
export async function nodeOf(call: KnownCall): Promise<NodeId> {
  const node = await findNode(call.deps.db, nodeName(call.caller));
  if (node === undefined) throw new Problem("forbidden", "This token's node does not exist.");
  return node;
}

function nodeName(caller: Caller): string {
  if (caller.nodeName === null) throw new Error(`the token ${caller.tokenId} names no node`);
  return caller.nodeName;
}

export async function parseBody<T extends z.ZodType>(
  call: KnownCall,
  schema: T,
  slug: ProblemSlug,
): Promise<z.infer<T>> {
  const read = schema.safeParse(readNodeDocument(call, await readText(call)));
  if (read.success) return read.data;
  throw new Problem(slug, "The body does not validate.", {
    extras: { errors: fieldErrors(read.error, schema) },
  });
}
