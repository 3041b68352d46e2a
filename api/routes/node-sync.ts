import type { z } from "zod";
import { fieldErrors } from "../../contract/document/mistakes.ts";
import type { NodeId } from "../../contract/ids.ts";
import { reachableAddress } from "../../contract/node/host.ts";
import {
  DesiredState,
  HELD_HEADER,
  JoinAnswer,
  JoinRequest,
  NodeReport,
  readHeld,
} from "../../contract/node/protocol.ts";
import { isLater } from "../../contract/node/skew.ts";
import { Problem, type ProblemSlug } from "../../contract/problem.ts";
import { recordAudit } from "../../db/access/audit.ts";
import type { AddressTrouble } from "../../db/nodes/addresses.ts";
import { renewWish, wishGeneration } from "../../db/nodes/desired.ts";
import { printedText } from "../../db/nodes/repetitions.ts";
import { releaseSession } from "../../db/nodes/sessions.ts";
import type { SightOutcome } from "../../db/nodes/sight.ts";
import { storeUnread } from "../../db/nodes/unread.ts";
import { usageOf } from "../../db/nodes/usage.ts";
import { endPurges } from "../../db/volumes/end.ts";
import { auditDenied } from "../apps/change.ts";
import { sha256Hex } from "../deps.ts";
import { actorName } from "../http/auth.ts";
import { readNodeDocument, readText } from "../http/body.ts";
import { answerLater } from "../http/later.ts";
import { DesiredQuery, NoQuery } from "../http/query.ts";
import { type KnownCall, type Route, route } from "../http/route.ts";
import { alarmAhead } from "../nodes/ahead.ts";
import { join } from "../nodes/join.ts";
import {
  alarmAbout,
  nodeName,
  nodeOf,
  protocolOf,
  sessionOf,
  shutOut,
  speakerOf,
} from "../nodes/speaker.ts";
import { isAnother, readWish, type WishQuestion, waitForWish } from "../nodes/wait-for-wish.ts";

export const nodeSyncRoutes: readonly Route[] = [
  route({
    method: "POST",
    path: "/v1/node/join",
    auth: ["join"],
    scope: null,
    project: "node",
    audit: "node.join",
    bodyLimit: 4_096,
    summary: "A host joins, one for each join token, and gets a token of its own",
    query: NoQuery,
    body: JoinRequest,
    answers: { 201: JoinAnswer },
    handle: async (call) => {
      const request = await parseBody(call, JoinRequest, "body-invalid");
      return call.c.json(await join(call, request), 201);
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
      const protocol = protocolOf(call);
      if (isLater(protocol)) {
        if (await storeUnread(call.deps.db, await nodeOf(call), protocol))
          return call.c.body(null, 204);
        throw shutOut(nodeName(call.caller));
      }
      const report = await parseBody(call, NodeReport, "report-invalid");
      const id = await nodeOf(call);
      const print = sha256Hex(call.deps, printedText(report, protocol));
      if (await isRepetition(call, { node: id, print, report })) return call.c.body(null, 204);
      const outcome = await call.deps.ask.report({
        node: id,
        report,
        protocol,
        print,
        apis: apisAddress(call),
      });
      const node = nodeName(call.caller);
      if (outcome.kind === "no-node") throw shutOut(node);
      if (outcome.kind === "stored") await followUp(call, id, report, outcome);
      if (outcome.kind === "older") {
        const reported = report.observedGeneration;
        call.deps.log.warn("an older report was refused", { node, reported, ...outcome });
      }
      return call.c.body(null, 204);
    },
  }),
  route({
    method: "DELETE",
    path: "/v1/node/session",
    auth: ["node"],
    scope: null,
    project: "node",
    audit: null,
    bodyLimit: 0,
    summary: "The node's agent stops: the next one to ask need not wait",
    query: NoQuery,
    answers: { 204: "ended" },
    handle: async (call) => {
      await releaseSession(call.deps.db, await nodeOf(call), sessionOf(call));
      return call.c.body(null, 204);
    },
  }),
];

async function desired(call: KnownCall<z.infer<typeof DesiredQuery>>): Promise<Response> {
  const { deps, caller, query } = call;
  const speaker = await speakerOf(call);
  const question = { speaker, protocol: protocolOf(call), ...heldWish(call), waitMs: query.waitMs };
  const wish = caller.node?.wish;
  if (wish && isAnother(wish, question)) return answerLater(call, () => readWish(deps, question));
  return answerLater(call, (gone) => waitForWish(deps, question, gone));
}

/** What the agent has in hand, and whether it wants that again. */
function heldWish({ c }: KnownCall): Pick<WishQuestion, "held" | "tag"> {
  const tag = c.req.header("if-none-match");
  const text = c.req.header(HELD_HEADER) ?? tag;
  return { tag, held: text === undefined ? undefined : readHeld(text) };
}

async function isRepetition(
  { deps }: KnownCall,
  { node, print, report }: { node: NodeId; print: string; report: NodeReport },
): Promise<boolean> {
  if (report.purgedVolumes.length > 0) return false;
  const { sinceBootMs } = report;
  return await deps.ask.repeats({ node, print, usage: usageOf(report.pods), sinceBootMs });
}

/** What else comes of a report that was stored. */
async function followUp(
  call: KnownCall,
  node: NodeId,
  report: NodeReport,
  { newStrangers, address, ahead }: Extract<SightOutcome, { kind: "stored" }>,
): Promise<void> {
  if (ahead === undefined) await forgetPurged(call, node, report);
  else if (ahead.isNew) await alarmAhead(call, ahead);
  if (newStrangers.length > 0) {
    const some = { node: nodeName(call.caller), strangers: newStrangers.slice(0, 20) };
    call.deps.log.warn("a node reported pods that are not its own", some);
    await alarmAbout(call, node, newStrangers);
  }
  if (address !== undefined) await refuseAddress(call, address, report.address);
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

/** Where the api itself is reached, by a host that is not the api's own. */
function apisAddress({ deps, c }: KnownCall): string | undefined {
  const own = deps.reachedAt(c);
  return own === null || own === deps.addressOf(c) ? undefined : reachableAddress(own);
}

/** The rest of the report is taken; an address that another node has would bring its requests here. */
async function refuseAddress(
  call: KnownCall,
  trouble: NonNullable<AddressTrouble>,
  address: string | undefined,
): Promise<void> {
  const name = nodeName(call.caller);
  call.deps.log.warn("the address that a node tells is not taken", {
    node: name,
    address,
    trouble,
  });
  await auditDenied(call, { action: "node.address", object: `node:${name}` });
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
