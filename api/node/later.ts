import type { HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import type { Later } from "../http/later.ts";

/** Answers past the app, on the bare response: what the app made of the request is free meanwhile. */
export const later: Later = (c, wait) => {
  const { outgoing } = c.env as HttpBindings;
  const gone = new AbortController();
  outgoing.once("close", () => gone.abort());
  void wait(gone.signal).then(({ status, headers, body }) => {
    if (!outgoing.destroyed) outgoing.writeHead(status, headers).end(body);
  });
  return RESPONSE_ALREADY_SENT;
};
