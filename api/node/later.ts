import type { HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import type { Aborting } from "../http/changes.ts";
import type { Later } from "../http/later.ts";

/** Answers past the app, on the bare response: what the app made of the request is free meanwhile. */
export const later: Later = (c, wait) => {
  const { outgoing } = c.env as HttpBindings;
  const gone = new Gone();
  outgoing.once("close", () => gone.abort());
  if (outgoing.destroyed) gone.abort();
  void wait(gone).then(({ status, headers, body }) => {
    if (!gone.aborted) outgoing.writeHead(status, headers).end(body);
  });
  return RESPONSE_ALREADY_SENT;
};

/** For the one who waits. */
class Gone implements Aborting {
  aborted = false;
  #listener: (() => void) | undefined;

  addEventListener(_: "abort", listener: () => void): void {
    this.#listener = listener;
  }

  removeEventListener(): void {
    this.#listener = undefined;
  }

  abort(): void {
    this.aborted = true;
    this.#listener?.();
  }
}
