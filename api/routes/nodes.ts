import { z } from "zod";
import { JoinTokenRequest } from "../../contract/node/host.ts";
import { listNodes, viewNode } from "../../db/nodes/nodes.ts";
import { type ChangeOutcome, change } from "../apps/change.ts";
import { NO_FIELDS, readRequest, readText } from "../http/body.ts";
import { Flag, fromCursor, NoQuery, PageQuery, toCursor, wholeNumber } from "../http/query.ts";
import { type KnownCall, PEOPLE, pathPart, type Route, route } from "../http/route.ts";
import { AdoptAnswer, adopt } from "../nodes/adopt.ts";
import { NodeAnswer, NodeDetails, nodeAnswer } from "../nodes/answers.ts";
import { answerDrained, detailsOf } from "../nodes/drain.ts";
import { JoinTokenAnswer, newJoinToken } from "../nodes/join-token.ts";
import { fence, noNode, remove, wishNode } from "../nodes/wishes.ts";

const FenceRequest = z.strictObject({
  /** Also while the node is heard of. */
  force: z.boolean().default(false),
  /** What named volumes hold there is lost: they begin anew, empty, elsewhere. */
  abandonVolumes: z.boolean().default(false),
});

const BASE = { auth: PEOPLE, scope: "node:admin", project: "installation" } as const;
const READ = { ...BASE, method: "GET", audit: null, bodyLimit: 0 } as const;
const WISH = { ...BASE, ...NO_FIELDS, method: "POST" } as const;

export const nodeRoutes: readonly Route[] = [
  route({
    ...READ,
    path: "/v1/nodes",
    summary: "The hosts: how they fare, and the room that they have",
    query: PageQuery.extend({ limit: wholeNumber(1, 200).default(200) }),
    answers: { 200: z.strictObject({ nodes: z.array(NodeAnswer), next: z.string().nullable() }) },
    handle: async (call) => {
      const { limit, cursor } = call.query;
      const after = fromCursor(cursor, /^[a-z][-a-z0-9]{0,39}$/);
      const found = await listNodes(call.deps.db, { limit: limit + 1, after });
      const page = found.slice(0, limit);
      const last = found.length > limit ? page.at(-1) : undefined;
      const nowMs = Date.now();
      return call.c.json({
        nodes: page.map((node) => nodeAnswer(node, nowMs)),
        next: last ? toCursor(last.name) : null,
      });
    },
  }),
  route({
    ...READ,
    path: "/v1/nodes/:node",
    summary: "One host, its pods, and how far its drain is",
    query: NoQuery,
    answers: { 200: NodeDetails },
    handle: async (call) => {
      const name = pathPart(call, "node");
      const node = await viewNode(call.deps.db, name);
      if (node === undefined) throw noNode(name);
      return call.c.json(await detailsOf(call.deps.db, node));
    },
  }),
  route({
    ...BASE,
    method: "POST",
    path: "/v1/nodes/join-tokens",
    audit: "node.join-token",
    bodyLimit: 16 * 1024,
    summary: "A token with which one host may join, once, and the command to type there",
    query: NoQuery,
    body: JoinTokenRequest,
    answers: { 201: JoinTokenAnswer },
    handle: async (call) => {
      const body = await readText(call);
      const request = readRequest(call, body, JoinTokenRequest);
      call.c.header("cache-control", "no-store");
      return answer(call, await newJoinToken(call, body, request));
    },
  }),
  route({
    ...WISH,
    path: "/v1/nodes/:node/cordon",
    audit: "node.cordon",
    summary: "No new pods there; those that are there stay",
    query: NoQuery,
    answers: { 200: NodeAnswer },
    handle: (call) => wish(call, { cordoned: true }),
  }),
  route({
    ...WISH,
    path: "/v1/nodes/:node/uncordon",
    audit: "node.uncordon",
    summary: "New pods may come again; ends a drain, too",
    query: NoQuery,
    answers: { 200: NodeAnswer },
    handle: (call) => wish(call, { cordoned: false, draining: false }),
  }),
  route({
    ...WISH,
    path: "/v1/nodes/:node/drain",
    audit: "node.drain",
    summary: "No new pods there, and those that are there move elsewhere, one after the other",
    query: z.strictObject({
      wait: z.literal("drained").optional(),
      timeout: wholeNumber(1, 900).default(120),
    }),
    answers: { 200: z.union([NodeAnswer, NodeDetails]) },
    handle: async (call) => {
      const name = pathPart(call, "node");
      const outcome = await change(call, "", (tx) =>
        wishNode(tx, name, { cordoned: true, draining: true }),
      );
      if (call.query.wait === undefined) return answer(call, outcome);
      return await answerDrained(call, name, call.query.timeout);
    },
  }),
  route({
    ...BASE,
    method: "POST",
    path: "/v1/nodes/:node/fence",
    audit: "node.fence",
    bodyLimit: 4_096,
    summary: "Say that a host is off: its pods are replaced, and its agent has to join anew",
    query: NoQuery,
    body: FenceRequest,
    answers: { 200: NodeAnswer },
    handle: async (call) => {
      const name = pathPart(call, "node");
      const body = await readText(call);
      const read = readRequest(call, body, FenceRequest);
      const how = { force: read.force, abandon: read.abandonVolumes };
      return answer(call, await change(call, body, (tx) => fence(tx, name, how)));
    },
  }),
  route({
    ...WISH,
    path: "/v1/nodes/:node/adopt",
    audit: "node.adopt",
    summary: "Say that this database is right where a node holds a wish that it never made",
    query: z.strictObject({ dryRun: Flag }),
    answers: { 200: AdoptAnswer },
    handle: async (call) => {
      const name = pathPart(call, "node");
      return answer(call, await change(call, "", (tx) => adopt(tx, name, call.query)));
    },
  }),
  route({
    ...BASE,
    method: "DELETE",
    path: "/v1/nodes/:node",
    audit: "node.delete",
    bodyLimit: 0,
    summary: "Forget a host that should run nothing and holds nothing",
    query: NoQuery,
    answers: { 200: z.strictObject({ node: z.string(), deleted: z.literal(true) }) },
    handle: async (call) => {
      const name = pathPart(call, "node");
      return answer(call, await change(call, "", (tx) => remove(tx, name)));
    },
  }),
];

async function wish(call: KnownCall, what: { cordoned: boolean; draining?: false }) {
  const name = pathPart(call, "node");
  return answer(call, await change(call, "", (tx) => wishNode(tx, name, what)));
}

function answer(call: KnownCall, outcome: ChangeOutcome<object>): Response {
  if (outcome.replayed) call.c.header("idempotency-replayed", "true");
  return call.c.json(outcome.value, outcome.status === 201 ? 201 : 200);
}
