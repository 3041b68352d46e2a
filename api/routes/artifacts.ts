import { z } from "zod";
import { Digest } from "../../contract/ids.ts";
import { Problem } from "../../contract/problem.ts";
import { findApp, lockApp } from "../../db/apps/apps.ts";
import { insertArtifact } from "../../db/apps/artifacts.ts";
import type { Tx } from "../../db/client.ts";
import { NO_MATERIALS } from "../../db/schema/core.ts";
import { DeclareAnswer, DryRunAnswer } from "../apps/answers.ts";
import { type ChangeOutcome, change, replay } from "../apps/change.ts";
import { nameInPath, specWithWar } from "../apps/check.ts";
import { declareOne, planDeclare } from "../apps/declare.ts";
import { refuseTooLong } from "../http/bounded-body.ts";
import { NoQuery, WarQuery } from "../http/query.ts";
import { type KnownCall, PEOPLE, pathPart, type Route, route } from "../http/route.ts";
import { hashBody, storeBody, type Uploaded } from "../registry/upload.ts";
import { answerDeclared } from "./apps.ts";

const UploadAnswer = z.strictObject({ digest: Digest, size: z.int() });

export const artifactRoutes: readonly Route[] = [
  route({
    method: "PUT",
    path: "/v1/apps/:app/war",
    auth: PEOPLE,
    scope: "app:deploy",
    project: "own",
    audit: "app.declare",
    bodyLimit: "artifact",
    summary: "The app with this WAR; everything else stays as it was, or takes its default",
    query: WarQuery,
    body: "bytes",
    answers: { 200: z.union([DeclareAnswer, DryRunAnswer]), 201: DeclareAnswer },
    handle: async (call) => {
      const name = nameInPath(call);
      const { contextPath, dryRun } = call.query;
      if (dryRun) {
        const { digest } = await hashBody(call);
        const app = await findApp(call.deps.db, call.caller.projectId, name);
        const war = { artifact: digest, contextPath };
        const { spec } = specWithWar(call, name, app?.spec, war);
        return call.c.json(
          await planDeclare(call.deps.db, call, { spec, materials: NO_MATERIALS }),
        );
      }
      const uploaded = await storeBody(call);
      const outcome = await change(call, "", async (tx) => {
        await nameArtifact(tx, call, uploaded);
        const app = await lockApp(tx, call.caller.projectId, name);
        const war = { artifact: uploaded.digest, contextPath };
        return await declareOne(tx, call, specWithWar(call, name, app?.spec, war));
      });
      return await answerDeclared(call, outcome);
    },
  }),
  route({
    method: "POST",
    path: "/v1/artifacts",
    auth: PEOPLE,
    scope: "app:deploy",
    project: "own",
    audit: "artifact.upload",
    bodyLimit: "artifact",
    summary: "Upload bytes, streamed, to name them by digest in a spec",
    query: NoQuery,
    body: "bytes",
    answers: { 201: UploadAnswer },
    handle: async (call) => {
      refuseTooLong(call);
      const earlier = await replay<Uploaded>(call, "");
      return answerUpload(call, earlier ?? (await keep(call, await storeBody(call), 201)));
    },
  }),
  route({
    method: "PUT",
    path: "/v1/artifacts/:digest",
    auth: PEOPLE,
    scope: "app:deploy",
    project: "own",
    audit: "artifact.upload",
    bodyLimit: "artifact",
    summary: "Upload the bytes that have this digest",
    query: NoQuery,
    body: "bytes",
    answers: { 200: UploadAnswer, 201: UploadAnswer },
    handle: async (call) => {
      const expected = Digest.safeParse(pathPart(call, "digest"));
      if (!expected.success) {
        throw new Problem("digest-mismatch", "The path must end with sha256: and 64 hex digits.");
      }
      return answerUpload(call, await keep(call, await storeBody(call, expected.data), undefined));
    },
  }),
];

/** Names the stored bytes. `status` undefined: 201 for bytes that were not named before, else 200. */
async function keep(
  call: KnownCall,
  uploaded: Uploaded,
  status: number | undefined,
): Promise<ChangeOutcome<Uploaded>> {
  return await change(call, "", async (tx) => {
    const fresh = await nameArtifact(tx, call, uploaded);
    const audit = { object: `artifact:${uploaded.digest}`, before: null, after: uploaded.digest };
    return {
      status: status ?? (fresh ? 201 : 200),
      value: uploaded,
      audits: fresh ? [audit] : [],
    };
  });
}

function nameArtifact(tx: Tx, call: KnownCall, { digest, size }: Uploaded): Promise<boolean> {
  return insertArtifact(tx, { projectId: call.caller.projectId, digest, sizeBytes: size });
}

function answerUpload(call: KnownCall, outcome: ChangeOutcome<Uploaded>): Response {
  if (outcome.replayed) call.c.header("idempotency-replayed", "true");
  const { digest, size } = outcome.value;
  return call.c.json({ digest, size }, outcome.status === 201 ? 201 : 200);
}
