import { z } from "zod";
import { lockApp } from "../../db/apps/apps.ts";
import { builtAs, findRelease, type ReleaseRow } from "../../db/apps/history.ts";
import { DeclareAnswer } from "../apps/answers.ts";
import { change } from "../apps/change.ts";
import { cannotComeBack, checkAgain, declareAgain } from "../apps/declare-again.ts";
import { readRequest, readText } from "../http/body.ts";
import { RestartQuery } from "../http/query.ts";
import { PEOPLE, pathPart, type Route, route } from "../http/route.ts";
import { answerDeclared, noApp } from "./apps.ts";
import { noRelease } from "./history.ts";

const RollbackRequest = z.strictObject({ to: z.int().min(1).max(999_999_999) });

export const rollbackRoutes: readonly Route[] = [
  route({
    method: "POST",
    path: "/v1/apps/:app/rollback",
    auth: PEOPLE,
    scope: "app:deploy",
    project: "own",
    audit: "app.rollback",
    bodyLimit: 4_096,
    summary: "A new release that is in everything what an earlier one was that served",
    query: RestartQuery,
    body: RollbackRequest,
    answers: { 200: DeclareAnswer },
    handle: async (call) => {
      const name = pathPart(call, "app");
      const text = await readText(call);
      const { to } = readRequest(call, text, RollbackRequest);
      const outcome = await change(call, text, async (tx) => {
        const app = await lockApp(tx, call.caller.projectId, name);
        if (!app) throw noApp(name);
        const release = await findRelease(tx, app.id, to);
        if (!release) throw noRelease(name, String(to));
        const built = await builtAs(tx, release.id);
        if (!hasServed(release) || !built) throw cannotComeBack(name, to, neverServed(release));
        const checked = checkAgain(call, release.spec, name);
        const because = `a rollback to release ${to}`;
        return await declareAgain(tx, call, { release, built }, checked, because);
      });
      return await answerDeclared(call, outcome);
    },
  }),
];

function hasServed({ phase }: ReleaseRow): boolean {
  return phase === "live" || phase === "retired";
}

function neverServed({ phase, failure }: ReleaseRow): string {
  const end = failure ? `, it failed (${failure.slug})` : `, it is ${phase}`;
  return `it never served${end}`;
}
