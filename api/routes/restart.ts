import { lockApp } from "../../db/apps/apps.ts";
import { findRelease, wantedAndLive } from "../../db/apps/history.ts";
import { DeclareAnswer } from "../apps/answers.ts";
import { change } from "../apps/change.ts";
import { declareOne } from "../apps/declare.ts";
import { checkAgain } from "../apps/declare-again.ts";
import { NO_FIELDS } from "../http/body.ts";
import { RestartQuery } from "../http/query.ts";
import { PEOPLE, pathPart, type Route, route } from "../http/route.ts";
import { answerDeclared, noApp } from "./apps.ts";

export const restartRoutes: readonly Route[] = [
  route({
    method: "POST",
    path: "/v1/apps/:app/restart",
    auth: PEOPLE,
    scope: "app:deploy",
    project: "own",
    audit: "app.restart",
    ...NO_FIELDS,
    summary: "New pods of the same spec, with the newest secrets and config maps",
    query: RestartQuery,
    answers: { 200: DeclareAnswer },
    handle: async (call) => {
      const name = pathPart(call, "app");
      const outcome = await change(call, "", async (tx) => {
        const app = await lockApp(tx, call.caller.projectId, name);
        if (!app) throw noApp(name);
        // After a release that failed, what should serve is an earlier one.
        const wanted = (await wantedAndLive(tx, [app.id])).get(app.id)?.wanted;
        const release = wanted == null ? undefined : await findRelease(tx, app.id, wanted);
        const checked = checkAgain(call, release?.spec ?? app.spec, name);
        return await declareOne(tx, call, checked, { newPods: true, because: "a restart" });
      });
      return await answerDeclared(call, outcome);
    },
  }),
];
