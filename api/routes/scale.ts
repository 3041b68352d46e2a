import { z } from "zod";
import { EVERY_APP } from "../../contract/app/app-spec.ts";
import { lockApp } from "../../db/apps/apps.ts";
import { builtAs, findRelease, wantedAndLive } from "../../db/apps/history.ts";
import { DeclareAnswer } from "../apps/answers.ts";
import { change } from "../apps/change.ts";
import { declareOne } from "../apps/declare.ts";
import { checkAgain, declareAgain } from "../apps/declare-again.ts";
import { readRequest, readText } from "../http/body.ts";
import { RestartQuery } from "../http/query.ts";
import { PEOPLE, pathPart, type Route, route } from "../http/route.ts";
import { answerDeclared, noApp } from "./apps.ts";

const ScaleRequest = z.strictObject({ replicas: EVERY_APP.replicas.unwrap() });

export const scaleRoutes: readonly Route[] = [
  route({
    method: "POST",
    path: "/v1/apps/:app/scale",
    auth: PEOPLE,
    scope: "app:deploy",
    project: "own",
    audit: "app.scale",
    bodyLimit: 4_096,
    summary: "More or fewer pods of what should serve; those that stay run on",
    query: RestartQuery,
    body: ScaleRequest,
    answers: { 200: DeclareAnswer },
    handle: async (call) => {
      const name = pathPart(call, "app");
      const text = await readText(call);
      const { replicas } = readRequest(call, text, ScaleRequest);
      const outcome = await change(call, text, async (tx) => {
        const app = await lockApp(tx, call.caller.projectId, name);
        if (!app) throw noApp(name);
        // After a release that failed, what should serve is an earlier one.
        const wanted = (await wantedAndLive(tx, [app.id])).get(app.id)?.wanted;
        const release = wanted == null ? undefined : await findRelease(tx, app.id, wanted);
        const built = release && (await builtAs(tx, release.id));
        const checked = checkAgain(call, { ...(release?.spec ?? app.spec), replicas }, name);
        const because = `a scale to ${replicas}`;
        return release && built
          ? await declareAgain(tx, call, { release, built }, checked, because)
          : await declareOne(tx, call, checked, { because });
      });
      return await answerDeclared(call, outcome);
    },
  }),
];
