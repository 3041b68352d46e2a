import { z } from "zod";
import { AppDocument } from "../../contract/app/app-spec.ts";
import { canonicalJson } from "../../contract/pod/pod.ts";
import { Problem } from "../../contract/problem.ts";
import { type AppRow, findApp, listApps, lockApp, removeApp } from "../../db/apps/apps.ts";
import { wantedAndLive } from "../../db/apps/history.ts";
import type { Tx } from "../../db/client.ts";
import { podsOfApps } from "../../db/nodes/sight.ts";
import { AppAnswer, appAnswer, DeclareAnswer, DryRunAnswer } from "../apps/answers.ts";
import { change, hashOf } from "../apps/change.ts";
import { checkSpec, nameInPath } from "../apps/check.ts";
import { type Accepted, declareOne, planOne } from "../apps/declare.ts";
import { waitUntilGone } from "../apps/gone.ts";
import { answerWhenOver } from "../apps/verdict.ts";
import { actorName } from "../http/auth.ts";
import { readDocument, readText } from "../http/body.ts";
import {
  DeclareQuery,
  DeleteQuery,
  fromCursor,
  NoQuery,
  PageQuery,
  toCursor,
  type WaitQuery,
} from "../http/query.ts";
import { type KnownCall, PEOPLE, pathPart, type Route, route } from "../http/route.ts";

const MiB = 1024 * 1024;
const Removed = z.strictObject({ app: z.string(), deleted: z.literal(true) });

export const appRoutes: readonly Route[] = [
  route({
    method: "PUT",
    path: "/v1/apps/:app",
    auth: PEOPLE,
    scope: "app:deploy",
    project: "own",
    audit: "app.declare",
    bodyLimit: MiB,
    summary: "Declare an app: create it, or change it",
    query: DeclareQuery,
    body: AppDocument,
    answers: { 200: z.union([DeclareAnswer, DryRunAnswer]), 201: DeclareAnswer },
    handle: async (call) => {
      const name = nameInPath(call);
      const checked = checkSpec(call, readDocument(call, await readText(call)), name);
      if (call.query.dryRun) {
        return call.c.json(await planOne(call.deps.db, call, checked));
      }
      const outcome = await change(call, "", (tx) => declareOne(tx, call, checked));
      return await answerDeclared(call, outcome);
    },
  }),
  route({
    method: "POST",
    path: "/v1/apps",
    auth: PEOPLE,
    scope: "app:deploy",
    project: "own",
    audit: "app.create",
    bodyLimit: MiB,
    summary: "Create an app; 409 when the name is taken",
    query: DeclareQuery,
    body: AppDocument,
    answers: { 201: DeclareAnswer, 200: z.union([DeclareAnswer, DryRunAnswer]) },
    handle: async (call) => {
      const text = await readText(call);
      const checked = checkSpec(call, readDocument(call, text));
      const { spec } = checked;
      if (call.query.dryRun) {
        await refuseTaken(call.deps.db, call, spec.name);
        return call.c.json(await planOne(call.deps.db, call, checked));
      }
      const outcome = await change(call, text, async (tx) => {
        await refuseTaken(tx, call, spec.name);
        const declared = await declareOne(tx, call, checked);
        if (declared.status !== 201) throw taken(spec.name);
        return declared;
      });
      return await answerDeclared(call, outcome);
    },
  }),
  route({
    method: "GET",
    path: "/v1/apps",
    auth: PEOPLE,
    scope: "app:read",
    project: "own",
    audit: null,
    bodyLimit: 0,
    summary: "The project's apps, by name, a page at a time",
    query: PageQuery,
    answers: {
      200: z.strictObject({ apps: z.array(AppAnswer), next: z.string().nullable() }),
    },
    handle: async (call) => {
      const { limit, cursor } = call.query;
      const after = fromCursor(cursor, /^[a-z][-a-z0-9]{0,39}$/) ?? "";
      const rows = await listApps(call.deps.db, call.caller.projectId, { after, limit: limit + 1 });
      const page = rows.slice(0, limit);
      const last = page.at(-1);
      const next = rows.length > limit && last ? toCursor(last.name) : null;
      return call.c.json({ apps: await viewsOf(call, page), next });
    },
  }),
  route({
    method: "GET",
    path: "/v1/apps/:app",
    auth: PEOPLE,
    scope: "app:read",
    project: "own",
    audit: null,
    bodyLimit: 0,
    summary: "One app, its pods and when they were last seen",
    query: NoQuery,
    answers: { 200: AppAnswer },
    handle: async (call) => {
      const [view] = await viewsOf(call, [await appInPath(call.deps.db, call)]);
      return call.c.json(view);
    },
  }),
  route({
    method: "DELETE",
    path: "/v1/apps/:app",
    auth: PEOPLE,
    scope: "app:admin",
    project: "own",
    audit: "app.remove",
    bodyLimit: 0,
    summary: "Remove an app; wait=gone answers when its pods are gone",
    query: DeleteQuery,
    answers: { 200: Removed },
    handle: async (call) => {
      const name = pathPart(call, "app");
      const { value } = await change(call, "", async (tx) => {
        const app = await lockApp(tx, call.caller.projectId, name);
        if (!app) throw noApp(name);
        await removeApp(tx, app, actorName(call.caller));
        const before = hashOf(call, canonicalJson(app.spec));
        return {
          status: 200,
          value: app.id,
          audits: [{ object: `app:${name}`, before, after: null }],
        };
      });
      if (call.query.wait === "gone") await waitUntilGone(call, value, name, call.query.timeout);
      return call.c.json({ app: name, deleted: true });
    },
  }),
];

/** The app that the path names, of the caller's own project. */
export async function appInPath(tx: Tx, call: KnownCall): Promise<AppRow> {
  const name = pathPart(call, "app");
  const app = await findApp(tx, call.caller.projectId, name);
  if (!app) throw noApp(name);
  return app;
}

/** The answer to a declaration: at once, or when its release is over. */
export async function answerDeclared(
  call: KnownCall<WaitQuery>,
  outcome: { status: number; value: Accepted; replayed: boolean },
): Promise<Response> {
  if (outcome.replayed) call.c.header("idempotency-replayed", "true");
  if (call.query.wait === "healthy") {
    return await answerWhenOver(call, [outcome.value], {
      timeoutSeconds: call.query.timeout,
      compose: ([answer]) => answer,
    });
  }
  return call.c.json(outcome.value.answer, outcome.status === 201 ? 201 : 200);
}

/** Two queries, however many apps. */
async function viewsOf(call: KnownCall, apps: readonly AppRow[]): Promise<AppAnswer[]> {
  const ids = apps.map((app) => app.id);
  const { db, config } = call.deps;
  const [numbers, pods] = await Promise.all([wantedAndLive(db, ids), podsOfApps(db, ids)]);
  return apps.map((app) => {
    const of = numbers.get(app.id) ?? { wanted: null, live: null, httpPort: null };
    return appAnswer(config, app, of, pods.get(app.id) ?? [], Date.now());
  });
}

async function refuseTaken(tx: Tx, call: KnownCall, name: string): Promise<void> {
  if (await findApp(tx, call.caller.projectId, name)) throw taken(name);
}

function taken(name: string): Problem {
  return new Problem("app-name-taken", `There is an app named "${name}" already; PUT changes it.`);
}

export function noApp(name: string): Problem {
  return new Problem("not-found", `There is no app named "${name.slice(0, 60)}".`);
}
