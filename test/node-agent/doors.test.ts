import { once } from "node:events";
import { Agent, createServer, request } from "node:http";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { connectionsTo } from "../../node-agent/host/connections.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/free-port.ts";
import {
  aDoor,
  aNode,
  aPod,
  ask,
  aWish,
  HERE,
  type Pod,
  routed,
  SHOP,
} from "./a-node-with-doors.ts";

/* What one ingress sends through another's doors. */

/** Sends a POST and a GET every 10 ms each; answers what was not answered with 200 and all of its bytes. */
function aStream(port: number) {
  const body = Buffer.alloc(20_000, 97);
  const sent: Promise<string>[] = [];
  const send = (said: Parameters<typeof ask>[1]) =>
    sent.push(ask(port, said).catch((error: unknown) => String(error)));
  const timer = setInterval(() => {
    send({ body });
    send({});
  }, 10);
  return {
    sent: () => sent.length,
    stop: async () => {
      clearInterval(timer);
      const answers = await Promise.all(sent);
      return answers.filter((it) => !/^200 \w+ (0|20000)$/.test(it));
    },
  };
}

test("no request fails while pods of other nodes leave and come, whatever its body", async () => {
  await using stack = new AsyncDisposableStack();
  const [one, two] = [await aPod(stack, "one"), await aPod(stack, "two")];
  const [atOne, atTwo] = [await freePort(), await freePort()];
  const remote = [`${HERE}:${atOne}`, `${HERE}:${atTwo}`];
  const ownersWish = (ready: readonly Pod[]) =>
    aWish({
      upstreams: ready.map((it) => it.at),
      doors: [
        aDoor(atOne, ready.find((it) => it === one)?.at),
        aDoor(atTwo, ready.find((it) => it === two)?.at),
      ],
    });
  const owner = await aNode(stack, ownersWish([one, two]));
  const { port } = await aNode(stack, aWish({ remote }));
  const stream = aStream(port);

  for (const leaving of [one, two, one]) {
    const staying = leaving === one ? two : one;
    const slow = ask(port, { path: "/500" });
    await eventually(() => expect(Math.min(one.asked(), two.asked())).toBeGreaterThan(0));
    owner.ingress.want(ownersWish([staying]));
    const sentTo = await owner.ingress.withdrawn(HERE, 500);
    await eventually(async () => expect(await connectionsTo([leaving.at])).toBe(0));
    const [before, sent] = [leaving.asked(), stream.sent()];
    await eventually(() => expect(stream.sent()).toBeGreaterThan(sent + 40));

    expect(sentTo).toContain(leaving.at);
    expect(leaving.asked()).toBe(before);
    expect(await slow).toMatch(/^200/);
    owner.ingress.want(ownersWish([one, two]));
    await eventually(() => expect(leaving.asked()).toBeGreaterThan(before));
  }

  expect(await stream.stop()).toEqual([]);
});

test("a node that is gone is asked no more, and requests go to the pods of the others", async () => {
  await using stack = new AsyncDisposableStack();
  const pods = [await aPod(stack, "one"), await aPod(stack, "two")] as const;
  const doors = [await freePort(), await freePort()] as const;
  const owners = [];
  for (const index of [0, 1] as const) {
    const { at } = pods[index];
    const wish = aWish({ upstreams: [at], doors: [aDoor(doors[index], at)] });
    owners.push(await aNode(stack, wish));
  }
  const { port } = await aNode(stack, aWish({ remote: doors.map((it) => `${HERE}:${it}`) }));
  const answers = () => Promise.all(Array.from({ length: 10 }, () => ask(port)));
  expect(new Set(await answers())).toEqual(new Set(["200 one 0", "200 two 0"]));

  await owners[0]?.kill();

  expect(new Set(await answers())).toEqual(new Set(["200 two 0"]));
  const body = Buffer.alloc(20_000, 97);
  await eventually(async () => {
    for (let turn = 0; turn < 20; turn++) expect(await ask(port, { body })).toBe("200 two 20000");
  });
});

test("a pod whose app has others elsewhere, which are gone, is asked whatever it answers at /", async () => {
  await using stack = new AsyncDisposableStack();
  const pod = await aPod(stack, "near", 404);
  const [own, dead] = [await freePort(), await freePort()];
  const wish = { upstreams: [pod.at], doors: [aDoor(own, pod.at)], remote: [`${HERE}:${dead}`] };
  const { port } = await aNode(stack, aWish(wish));
  const untilChecked = performance.now() + 2_500;

  while (performance.now() < untilChecked)
    expect(await ask(port, { path: "/1" })).toBe("200 near 0");

  expect(pod.sawEver("waybill-check")).toBe(false);
});

test("what no pod answers is told in words after a few seconds, wherever the pods are", async () => {
  await using stack = new AsyncDisposableStack();
  const door = await freePort();
  await aNode(stack, aWish({ doors: [aDoor(door)] }));
  const nobody = `${HERE}:${await freePort()}`;
  const near = await aNode(stack, aWish({ upstreams: [nobody] }));
  const far = await aNode(stack, aWish({ remote: [`${HERE}:${door}`] }));

  const words = "No pod of this app answers. Ask again in a moment.\n";
  expect(await Promise.all([ask(near.port), ask(far.port)])).toEqual([
    `502 ${words}`,
    `503 ${words}`,
  ]);
});

test("what an ingress itself says has one content type", async () => {
  await using stack = new AsyncDisposableStack();
  const { port } = await aNode(stack, aWish({}));

  const { headers } = await fetch(`http://${HERE}:${port}/`);

  expect(headers.get("content-type")).toBe("text/plain; charset=utf-8");
});

test("a POST waits for a pod as a GET does, where none takes requests just now", async () => {
  await using stack = new AsyncDisposableStack();
  const pod = await aPod(stack, "one");
  const door = await freePort();
  const withDoor = (at?: string) => aWish({ doors: [aDoor(door, at)] });
  const owner = await aNode(stack, withDoor());
  const { port } = await aNode(stack, aWish({ remote: [`${HERE}:${door}`] }));
  await eventually(async () => {
    const soon = await Promise.race([ask(port), sleep(300, "it waits")]);
    expect(soon).toBe("it waits");
  });

  const posted = ask(port, { body: Buffer.alloc(20_000, 97) });
  owner.ingress.want(withDoor(pod.at));

  expect(await posted).toBe("200 one 20000");
  expect(pod.asked()).toBeLessThan(10);
});

test("an ingress that knows only pods that have gone is led on by their doors", async () => {
  await using stack = new AsyncDisposableStack();
  const pod = await aPod(stack, "new");
  const [unready, gone, alone] = [await freePort(), await freePort(), await freePort()];
  const doors = [aDoor(unready), aDoor(gone, undefined, true)];
  await aNode(stack, aWish({ upstreams: [pod.at], doors }));
  await aNode(stack, aWish({ doors: [aDoor(alone, undefined, true)] }));
  const { port } = await aNode(stack, aWish({ remote: [`${HERE}:${gone}`] }));

  const check = { headers: { "waybill-check": "1" } };
  const checks = [await ask(unready, check), await ask(gone, check), await ask(alone, check)];
  expect(checks).toEqual(["503 ", "200 ", "503 "]);
  expect(await ask(port)).toBe("200 new 0");
});

test("a request that waits for a pod while routes change is answered by the new ones", async () => {
  await using stack = new AsyncDisposableStack();
  const pod = await aPod(stack, "one");
  const door = await freePort();
  await aNode(stack, aWish({ doors: [aDoor(door)] }));
  const { port, ingress } = await aNode(stack, aWish({ remote: [`${HERE}:${door}`] }));
  const isWaiting = async (asked: Promise<string>) =>
    expect(await Promise.race([asked, sleep(300, "it waits")])).toBe("it waits");
  await eventually(() => isWaiting(ask(port)));

  const asked = [ask(port), ask(port, { body: Buffer.alloc(20_000, 97) })];
  await Promise.all(asked.map(isWaiting));
  await routed(ingress, aWish({ upstreams: [pod.at] }));

  expect(await Promise.all(asked)).toEqual(["200 one 0", "200 one 20000"]);
  expect(Object.keys(pod.headers()).filter((it) => it.startsWith("waybill"))).toEqual([]);
});

test("a request begins anew at most twenty times, though it comes back to the same door each time", async () => {
  await using stack = new AsyncDisposableStack();
  const nobody = async () => `${HERE}:${await freePort()}`;
  const [door, remote] = [await freePort(), [await nobody()]];
  const wishFor = (at: string) => aWish({ upstreams: [at], doors: [aDoor(door, at)], remote });
  const { port, ingress } = await aNode(stack, wishFor(await nobody()));
  let answer: string | undefined;
  ask(port)
    .catch(String)
    .then((it) => {
      answer = it;
    });

  let changes = 0;
  for (; answer === undefined && changes < 40; changes++) {
    await routed(ingress, wishFor(await nobody()));
    await sleep(100);
  }

  expect(answer).toMatch(/^50[23] /);
  expect(changes).toBeGreaterThan(10);
});

test("doors that know only of one another pass a request on no further than a few times", async () => {
  await using stack = new AsyncDisposableStack();
  const doors = [await freePort(), await freePort()] as const;
  for (const [own, other] of [doors, doors.toReversed()])
    await aNode(stack, aWish({ doors: [aDoor(Number(own))], remote: [`${HERE}:${other}`] }));

  const hop = { headers: { "waybill-hop": "1" } };
  expect(await ask(doors[0], hop)).toMatch(/^503/);
});

test("a connection that a client keeps outlives all changes of the routes", async () => {
  await using stack = new AsyncDisposableStack();
  const pods = [await aPod(stack, "one"), await aPod(stack, "two")] as const;
  const wishFor = (index: 0 | 1) => aWish({ upstreams: [pods[index].at] });
  const { port, ingress } = await aNode(stack, wishFor(0));
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  stack.defer(async () => agent.destroy());
  const ports = new Set<number | undefined>();
  agent.on("free", (socket: Socket) => ports.add(socket.localPort));
  expect(await ask(port, { agent })).toBe("200 one 0");

  for (const index of [1, 0, 1] as const) {
    await routed(ingress, wishFor(index));
    const answer = await ask(port, { agent });
    expect(answer).toBe(`200 ${index === 0 ? "one" : "two"} 0`);
  }

  expect(ports.size).toBe(1);
});

test("what a client and a pod say over a WebSocket goes through all ingresses between them", async () => {
  await using stack = new AsyncDisposableStack();
  const pod = createServer().listen(0, HERE);
  await once(pod, "listening");
  stack.defer(async () => void pod.close());
  pod.on("upgrade", (question, socket: Socket) => {
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ${question.headers.upgrade}\r\n\r\n`,
    );
    socket.on("data", (heard) => socket.write(`heard ${heard}`));
  });
  const at = `${HERE}:${(pod.address() as { port: number }).port}`;
  const door = await freePort();
  await aNode(stack, aWish({ upstreams: [at], doors: [aDoor(door, at)] }));
  const { port } = await aNode(stack, aWish({ remote: [`${HERE}:${door}`] }));

  const headers = { host: SHOP, connection: "upgrade", upgrade: "websocket" };
  const question = request({ host: HERE, port, headers });
  question.end();
  const [, socket] = (await once(question, "upgrade")) as [unknown, Socket];
  socket.write("hello");
  const [answer] = await once(socket, "data");
  socket.destroy();

  expect(String(answer)).toBe("heard hello");
});

test("a door lets in other nodes only, for its own app, and passes a request on, a few times at most", async () => {
  await using stack = new AsyncDisposableStack();
  const pod = await aPod(stack, "one");
  const doors = [await freePort(), await freePort(), await freePort()] as const;
  const [ready, notReady, elsewhere] = doors;
  await aNode(
    stack,
    aWish({
      upstreams: [pod.at],
      doors: [aDoor(ready, pod.at), aDoor(notReady)],
    }),
  );
  await aNode(stack, aWish({ doors: [aDoor(elsewhere)] }));
  const closed = await freePort();
  await aNode(stack, aWish({ doors: [aDoor(closed, pod.at)] }, { peers: ["192.0.2.1"] }));
  const check = { headers: { "waybill-check": "1" } };
  const hop = (hops: string) => ({ headers: { "waybill-hop": hops } });

  expect(await ask(ready)).toBe("200 one 0");
  expect(await ask(ready, { host: "other.localhost" })).toMatch(/^503/);
  expect([await ask(ready, check), await ask(notReady, check)]).toEqual(["200 ", "503 "]);
  expect(await ask(notReady, hop("1"))).toBe("200 one 0");
  expect(await ask(notReady, hop("3"))).toBe("200 one 0");
  expect(await ask(elsewhere, hop("1"))).toMatch(/^503/);
  const from = "127.0.0.5";
  await expect(ask(closed, { from })).rejects.toThrow();
  await expect(ask(closed, { ...check, from })).rejects.toThrow();
});

test("a door whose port another program has keeps no other route from changing", async () => {
  await using stack = new AsyncDisposableStack();
  const pod = await aPod(stack, "one");
  const taken = createServer().listen(0);
  await once(taken, "listening");
  stack.defer(async () => void taken.close());
  const [busy, free] = [(taken.address() as { port: number }).port, await freePort()];
  const doors = [busy, free].map((port) => aDoor(port, pod.at));

  const { port } = await aNode(stack, aWish({ upstreams: [pod.at], doors }));

  expect(await ask(port)).toBe("200 one 0");
  expect(await ask(free)).toBe("200 one 0");
});
