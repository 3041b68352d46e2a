import { ExplainAnswer } from "../apps/answers.ts";
import { explainApp } from "../apps/explain.ts";
import { NoQuery } from "../http/query.ts";
import { PEOPLE, type Route, route } from "../http/route.ts";
import { appInPath } from "./apps.ts";

export const explainRoutes: readonly Route[] = [
  route({
    method: "GET",
    path: "/v1/apps/:app/explain",
    auth: PEOPLE,
    scope: "app:read",
    project: "own",
    audit: null,
    bodyLimit: 0,
    summary: "Why each pod of the app is where it is, or nowhere, with numbers",
    query: NoQuery,
    answers: { 200: ExplainAnswer },
    handle: async (call) => {
      const { db } = call.deps;
      return call.c.json(await explainApp(db, call, await appInPath(db, call)));
    },
  }),
];
