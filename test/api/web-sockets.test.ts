import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Hono } from "hono";
import { expect, test } from "vitest";
import { WebSocket } from "ws";
import type { Wire } from "../../api/http/wire.ts";
import { openWebSocketDoor } from "../../api/node/web-sockets.ts";

/** Serves WebSockets at the path of exec, with pings in quick succession. */
async function startDoor(serve: (wire: Wire) => Promise<void>) {
  const door = openWebSocketDoor((error) => console.error(error), 20);
  const app = new Hono().get("*", (c) => door.upgrade(c, [], serve));
  const server = createServer();
  server.on("upgrade", (request, socket, head) =>
    door.enter((it) => app.fetch(it), request, socket, head),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `ws://127.0.0.1:${port}/v1/apps/shop/exec`,
    [Symbol.asyncDispose]: async () => {
      door.terminate();
      server.close();
      await once(server, "close");
    },
  };
}

test("who sends more than is taken for a while is not taken for gone", async () => {
  const goOn = Promise.withResolvers<void>();
  const heard: number[] = [];
  await using door = await startDoor(async (wire) => {
    await goOn.promise;
    for await (const message of wire.incoming) {
      heard.push(message[0] ?? -1);
      if (heard.length === 100) return;
    }
  });
  const socket = new WebSocket(door.url);
  let pings = 0;
  socket.on("ping", () => {
    pings += 1;
    // Two that go unanswered are the end; these are more.
    if (pings === 6) goOn.resolve();
  });
  socket.once("close", () => goOn.resolve());
  await once(socket, "open");

  for (let nr = 0; nr < 100; nr++) socket.send(Buffer.of(nr));
  await once(socket, "close");

  expect(heard).toEqual(Array.from({ length: 100 }, (_, nr) => nr));
});

test("who answers no ping is gone", async () => {
  const closed = Promise.withResolvers<void>();
  await using door = await startDoor(async (wire) => {
    for await (const _ of wire.incoming);
    closed.resolve();
  });
  const socket = new WebSocket(door.url, { autoPong: false });
  await once(socket, "open");

  await closed.promise;

  socket.terminate();
});
