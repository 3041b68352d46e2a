import { once } from "node:events";
import { createServer, get } from "node:http";
import type { AddressInfo } from "node:net";
import type { Context } from "hono";
import { expect, test } from "vitest";
import type { Aborting } from "../../api/http/changes.ts";
import { later } from "../../api/node/later.ts";

/** A server that answers later, once its caller has left before or after that. */
async function waitsFor(caller: { readonly leaves: "before" | "after" }): Promise<Aborting> {
  const heard = Promise.withResolvers<Aborting>();
  const server = createServer(async (incoming, outgoing) => {
    const left = once(outgoing, "close");
    const leave = () => asking.destroy();
    if (caller.leaves === "before") leave();
    if (caller.leaves === "before") await left;
    later({ env: { incoming, outgoing } } as unknown as Context, async (gone) => {
      if (caller.leaves === "after") leave();
      await left;
      heard.resolve(gone);
      return { status: 200, headers: {}, body: "too late" };
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const asking = get({ host: "127.0.0.1", port }).on("error", () => undefined);
  try {
    return await heard.promise;
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

test.each(["before", "after"] as const)(
  "whoever waits learns that its caller left, %s it began to wait",
  async (leaves) => {
    expect((await waitsFor({ leaves })).aborted).toBe(true);
  },
);
