import { z } from "zod";
import { type AppSpec, AppSpec as AppSpecSchema } from "../../contract/app-spec.ts";
import { type FieldError, Problem } from "../../contract/problem.ts";
import { DeclareAnswer, DryRunAnswer } from "../answers.ts";
import { readDocuments, readText } from "../body.ts";
import { type Changed, change } from "../change.ts";
import {
  type Accepted,
  checkArtifacts,
  checkSpec,
  declare,
  planDeclare,
  specInvalid,
} from "../declare.ts";
import { CreateQuery } from "../query.ts";
import { type KnownCall, PEOPLE, type Route, route } from "../route.ts";
import { answerWhenOver } from "../verdict.ts";

const MAX_DOCUMENTS = 100;
const ApplyAnswer = z.strictObject({ applied: z.array(z.union([DeclareAnswer, DryRunAnswer])) });

export const applyRoutes: readonly Route[] = [
  route({
    method: "POST",
    path: "/v1/apply",
    auth: PEOPLE,
    scope: "app:deploy",
    project: "own",
    audit: "app.declare",
    bodyLimit: 4 * 1024 * 1024,
    summary: "Declare one or many apps, all of them or none",
    query: CreateQuery,
    body: AppSpecSchema,
    answers: { 200: ApplyAnswer },
    handle: async (call) => {
      const text = await readText(call);
      const specs = checkAll(readDocuments(call, text, MAX_DOCUMENTS));
      if (call.query.dryRun) {
        await checkArtifacts(call.deps.db, call, specs);
        const applied = [];
        for (const { spec } of specs) applied.push(await planDeclare(call.deps.db, call, spec));
        return call.c.json({ applied });
      }
      const outcome = await change(call, text, async (tx) => {
        await checkArtifacts(tx, call, specs);
        const done: Changed<Accepted>[] = [];
        // In the order of names, so that two of these at once never wait for each other's locks.
        for (const { spec } of [...specs].sort(byName)) done.push(await declare(tx, call, spec));
        return {
          status: 200,
          value: inOrderOf(specs, done),
          audits: done.flatMap((it) => it.audits),
        };
      });
      if (outcome.replayed) call.c.header("idempotency-replayed", "true");
      return await answerApplied(call, outcome.value);
    },
  }),
];

async function answerApplied(
  call: KnownCall<z.infer<typeof CreateQuery>>,
  accepted: readonly Accepted[],
): Promise<Response> {
  const compose = (applied: readonly DeclareAnswer[]) => ({ applied });
  if (call.query.wait === undefined) return call.c.json(compose(accepted.map((it) => it.answer)));
  const options = { timeoutSeconds: call.query.timeout, compose };
  return await answerWhenOver(call, accepted, options);
}

type Placed = { readonly spec: AppSpec; readonly at: string };

/** Every document checked, every mistake of every document at once; pointers start with a document's number where there are many. */
function checkAll(documents: readonly unknown[]): readonly Placed[] {
  if (documents.length === 0) throw new Problem("body-invalid", "The body holds no document.");
  const errors: FieldError[] = [];
  const specs: Placed[] = [];
  documents.forEach((document, index) => {
    const at = documents.length === 1 ? "" : `/${index}`;
    try {
      specs.push({ spec: checkOne(document), at });
    } catch (error) {
      if (!(error instanceof Problem) || !error.extras.errors) throw error;
      errors.push(...error.extras.errors.map((it) => ({ ...it, pointer: at + it.pointer })));
    }
  });
  const names = specs.map(({ spec }) => spec.name);
  for (const [index, { spec, at }] of specs.entries()) {
    if (names.indexOf(spec.name) !== index) {
      errors.push({ pointer: `${at}/name`, message: `"${spec.name}" stands here twice` });
    }
  }
  if (errors.length > 0) throw specInvalid(errors);
  return specs;
}

function checkOne(document: unknown): AppSpec {
  const kind = (document as { kind?: unknown } | null)?.kind;
  if (kind !== undefined) {
    throw specInvalid([
      { pointer: "/kind", message: "a document with a kind is not supported yet" },
    ]);
  }
  return checkSpec(document, undefined);
}

function byName(a: Placed, b: Placed): number {
  return a.spec.name < b.spec.name ? -1 : 1;
}

function inOrderOf(specs: readonly Placed[], done: readonly Changed<Accepted>[]): Accepted[] {
  const byApp = new Map(done.map(({ value }) => [value.answer.app, value]));
  return specs.flatMap(({ spec }) => byApp.get(spec.name) ?? []);
}
