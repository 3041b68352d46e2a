import { z } from "zod";
import { AppDocument } from "../../contract/app/app-spec.ts";
import { Problem } from "../../contract/problem.ts";
import type { Tx } from "../../db/client.ts";
import { DeclareAnswer, DryRunAnswer } from "../apps/answers.ts";
import { type ApplyDocument, checkAll, isApp, isMaterial } from "../apps/apply-documents.ts";
import { auditDenied, type Changed, change } from "../apps/change.ts";
import type { Checked } from "../apps/check.ts";
import { type Accepted, declare, planDeclare } from "../apps/declare.ts";
import { lookAround } from "../apps/explain.ts";
import { findReferences, planReferences } from "../apps/references.ts";
import { answerWhenOver } from "../apps/verdict.ts";
import { readDocuments, readText } from "../http/body.ts";
import { DeclareQuery } from "../http/query.ts";
import { type KnownCall, PEOPLE, type Route, route } from "../http/route.ts";
import { MaterialAnswer, planMaterials, putMaterials } from "../materials/declare.ts";

const MAX_DOCUMENTS = 100;
const ApplyAnswer = z.strictObject({
  applied: z.array(z.union([DeclareAnswer, DryRunAnswer, MaterialAnswer])),
});

/** Each in the order of its kind's documents. */
type Applied = {
  readonly materials: readonly MaterialAnswer[];
  readonly apps: readonly Accepted[];
};

export const applyRoutes: readonly Route[] = [
  route({
    method: "POST",
    path: "/v1/apply",
    auth: PEOPLE,
    scope: "app:deploy",
    project: "own",
    audit: "app.declare",
    bodyLimit: 4 * 1024 * 1024,
    summary: "Declare one or many apps, config maps and secrets, all of them or none",
    query: DeclareQuery,
    body: AppDocument,
    answers: { 200: ApplyAnswer },
    handle: async (call) => {
      const text = await readText(call);
      const documents = checkAll(call, readDocuments(call, text, MAX_DOCUMENTS));
      await prepareForSecrets(call, documents);
      if (call.query.dryRun) return call.c.json({ applied: await plan(call, documents) });
      const outcome = await change(call, text, (tx) => apply(tx, call, documents));
      if (outcome.replayed) call.c.header("idempotency-replayed", "true");
      return await answerApplied(call, documents, outcome.value);
    },
  }),
];

/** A secret takes a scope of its own, and the installation's key, which is at hand before any lock is. */
async function prepareForSecrets(
  call: KnownCall,
  documents: readonly ApplyDocument[],
): Promise<void> {
  if (!documents.some((it) => isMaterial(it) && it.wish.kind === "Secret")) return;
  if (!call.caller.scopes.includes("secret:write")) {
    await auditDenied(call);
    throw new Problem("forbidden", "A Secret needs a token with the scope secret:write.");
  }
  await call.deps.secrets.keyring();
}

/** Config maps and secrets first, so that an app may name those of the same call. */
async function apply(
  tx: Tx,
  call: KnownCall,
  documents: readonly ApplyDocument[],
): Promise<Changed<Applied>> {
  const wishes = documents.filter(isMaterial).map(({ wish }) => wish);
  const stored = await putMaterials(tx, call, wishes);
  const apps = documents.filter(isApp);
  // In the order of names, so that two of these at once never wait for each other's locks.
  const found = await findReferences(tx, call, [...apps].sort(byName));
  const declared: Changed<Accepted>[] = [];
  for (const it of found) declared.push(await declare(tx, call, it));
  const byApp = new Map(declared.map(({ value }) => [value.answer.app, value]));
  const byMaterial = new Map(stored.map(({ value }) => [`${value.kind}/${value.name}`, value]));
  return {
    status: 200,
    value: {
      materials: wishes.flatMap(({ kind, name }) => byMaterial.get(`${kind}/${name}`) ?? []),
      apps: apps.flatMap(({ spec }) => byApp.get(spec.name) ?? []),
    },
    audits: [...stored, ...declared].flatMap((it) => it.audits),
  };
}

async function plan(call: KnownCall, documents: readonly ApplyDocument[]) {
  const { db } = call.deps;
  const wishes = documents.filter(isMaterial).map(({ wish }) => wish);
  const planned = await planMaterials(db, call, wishes);
  const apps = documents.filter(isApp);
  const answers: DryRunAnswer[] = [];
  const found = await planReferences(db, call, apps, planned);
  const around = await lookAround(db, call, found);
  for (const it of found) {
    answers.push(await planDeclare(db, call, it, around));
  }
  const materials = planned.map(({ answer }) => answer);
  return inOrderOf<DryRunAnswer>(documents, materials, answers);
}

async function answerApplied(
  call: KnownCall<z.infer<typeof DeclareQuery>>,
  documents: readonly ApplyDocument[],
  { materials, apps }: Applied,
): Promise<Response> {
  const compose = (answers: readonly DeclareAnswer[]) => ({
    applied: inOrderOf(documents, materials, answers),
  });
  if (call.query.wait === undefined || apps.length === 0) {
    return call.c.json(compose(apps.map((it) => it.answer)));
  }
  return await answerWhenOver(call, apps, { timeoutSeconds: call.query.timeout, compose });
}

/** One answer a document, in the order of the documents. */
function inOrderOf<T>(
  documents: readonly ApplyDocument[],
  materials: readonly MaterialAnswer[],
  apps: readonly T[],
): readonly (T | MaterialAnswer)[] {
  const restOfApps = apps.values();
  const restOfMaterials = materials.values();
  return documents.flatMap((document): (T | MaterialAnswer)[] => {
    const next = isApp(document) ? restOfApps.next() : restOfMaterials.next();
    return next.value === undefined ? [] : [next.value];
  });
}

function byName(a: Checked, b: Checked): number {
  return a.spec.name < b.spec.name ? -1 : 1;
}
