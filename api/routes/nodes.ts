import { z } from "zod";
import { listNodes } from "../../db/nodes/nodes.ts";
import { NodeAnswer, nodeAnswer } from "../apps/answers.ts";
import { NoQuery } from "../http/query.ts";
import { PEOPLE, type Route, route } from "../http/route.ts";

export const nodeRoutes: readonly Route[] = [
  route({
    method: "GET",
    path: "/v1/nodes",
    auth: PEOPLE,
    scope: "node:admin",
    project: "installation",
    audit: null,
    bodyLimit: 0,
    summary: "The hosts, and when each was last heard of",
    query: NoQuery,
    answers: { 200: z.strictObject({ nodes: z.array(NodeAnswer) }) },
    handle: async (call) => {
      const nodes = await listNodes(call.deps.db);
      return call.c.json({ nodes: nodes.map((node) => nodeAnswer(node, Date.now())) });
    },
  }),
];
