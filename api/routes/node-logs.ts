import { LogBatch, LogBatchAnswer, MAX_LOG_BODY_BYTES } from "../../contract/node/logs.ts";
import { storeLogs } from "../../db/streams/logs.ts";
import { NoQuery } from "../http/query.ts";
import { type Route, route } from "../http/route.ts";
import { alarmAbout, nodeOf } from "../nodes/speaker.ts";
import { parseBody } from "./node-sync.ts";

export const nodeLogRoutes: readonly Route[] = [
  route({
    method: "POST",
    path: "/v1/node/logs",
    auth: ["node"],
    scope: null,
    project: "node",
    audit: null,
    bodyLimit: MAX_LOG_BODY_BYTES,
    summary: "What the node's containers said; the answer tells how far each is kept",
    query: NoQuery,
    body: LogBatch,
    answers: { 200: LogBatchAnswer },
    handle: async (call) => {
      const batch = await parseBody(call, LogBatch, "report-invalid");
      const node = await nodeOf(call);
      const { kept, strangers } = await storeLogs(call.deps.db, node, batch);
      if (strangers.length > 0) await alarmAbout(call, node, strangers);
      return call.c.json({ kept });
    },
  }),
];
