import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import {
  Agent,
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type ServerResponse,
} from "node:http";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { connectionsTo } from "../../node-agent/host/connections.ts";
import type { Door } from "../../node-agent/ingress/doors.ts";
import { type Ingress, type IngressWish, openIngress } from "../../node-agent/ingress/keeper.ts";
import type { IngressRoute } from "../../node-agent/ingress/routes.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/free-port.ts";
import { anIngress } from "../support/ingress.ts";

/* Several ingresses on loopback, each as a node's: what one sends through another's doors. */

const SHOP = "shop.localhost";
const HERE = "127.0.0.1";

const aWish = (said: Partial<IngressRoute>, peers = [HERE]): IngressWish => ({
  routes: [{ app: "shop", hosts: [SHOP], upstreams: [], remote: [], doors: [], ...said }],
  peers,
});

const aDoor = (port: number, pod?: string, gone = false): Door => ({ port, pod, gone });

type Node = { readonly port: number; readonly ingress: Ingress; kill(): Promise<void> };

/** An ingress and its keeper, with the first routes in place. */
async function aNode(stack: AsyncDisposableStack, wish: IngressWish): Promise<Node> {
  const dir = await mkdtemp(join(tmpdir(), "waybill-doors-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const port = await freePort();
  const { front, router, ...part } = await anIngress({ dataDir: dir, runDir: dir, httpPort: port });
  for (const it of [router, front]) await stack.use(it).start();
  const ending = new AbortController();
  const log = { info: () => {}, warn: () => {}, error: () => {} };
  const { signal } = ending;
  await eventually(() => ask(port));
  const ingress = openIngress({ ...part, signal, log, onChange: () => {} });
  stack.defer(async () => {
    ending.abort();
    await ingress.done;
  });
  await eventually(() => expect(ingress.upstreams()).toBeDefined());
  await routed(ingress, wish);
  return { port, ingress, kill: async () => void (await Promise.all([front.end(), router.end()])) };
}

/** Asks for these routes, and waits until Caddy has them. */
async function routed(ingress: Ingress, wish: IngressWish): Promise<void> {
  ingress.want(wish);
  const sentTo = wish.routes.flatMap((it) => [...it.upstreams, ...it.remote]);
  await eventually(() => expect([...(ingress.upstreams() ?? [])].sort()).toEqual(sentTo.sort()));
}

type Pod = { readonly at: string; asked(): number; headers(): IncomingHttpHeaders };

/** Answers its name and how many bytes it was sent, after as many ms as the path says. */
async function aPod(stack: AsyncDisposableStack, name: string): Promise<Pod> {
  let asked = 0;
  let headers: IncomingHttpHeaders = {};
  const answered = async (question: IncomingMessage, answer: ServerResponse) => {
    let bytes = 0;
    for await (const chunk of question) bytes += chunk.length;
    await sleep(Number(question.url?.slice(1) || 0));
    answer.end(`${name} ${bytes}`);
  };
  const server = createServer((question, answer) => {
    asked += 1;
    headers = question.headers;
    // One that is cut off in its middle ends here.
    answered(question, answer).catch(() => answer.destroy());
  }).listen(0, HERE);
  await once(server, "listening");
  stack.defer(async () => void server.close().closeAllConnections());
  const { port } = server.address() as { port: number };
  return { at: `${HERE}:${port}`, asked: () => asked, headers: () => headers };
}

async function ask(
  port: number,
  said: { host?: string; path?: string; body?: Buffer; headers?: object; agent?: Agent } = {},
): Promise<string> {
  const { host = SHOP, path = "/", body } = said;
  const method = body ? "POST" : "GET";
  const headers = { host, ...said.headers };
  const { agent = new Agent({ keepAlive: false }) } = said;
  const question = request({ host: HERE, port, path, method, headers, agent });
  question.end(body);
  const [answer] = await once(question, "response");
  let text = "";
  for await (const chunk of answer) text += chunk;
  return `${answer.statusCode} ${text}`;
}

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

test("a pod behind a door is told who asks as one behind its own ingress is, and nothing of doors", async () => {
  await using stack = new AsyncDisposableStack();
  const pod = await aPod(stack, "one");
  const door = await freePort();
  await aNode(stack, aWish({ upstreams: [pod.at], doors: [aDoor(door, pod.at)] }));
  const { port } = await aNode(stack, aWish({ remote: [`${HERE}:${door}`] }));
  const alone = await aNode(stack, aWish({ upstreams: [pod.at] }));

  const proxied = ["forwarded", "x-forwarded-prefix", "x-forwarded-ssl", "x-real-ip"];
  const headers = {
    ...{ "waybill-check": "1", "waybill-hop": "1", "x-forwarded-for": "192.0.2.7" },
    ...Object.fromEntries(proxied.map((it) => [it, "for=192.0.2.7"])),
  };
  expect(await ask(alone.port, { headers })).toBe("200 one 0");
  expect(Object.keys(pod.headers()).filter((it) => it.startsWith("waybill"))).toEqual([]);
  expect(Object.keys(pod.headers()).filter((it) => proxied.includes(it))).toEqual([]);
  expect(await ask(port, { host: `${SHOP}:8080`, headers })).toBe("200 one 0");

  expect(pod.headers()).toMatchObject({
    host: `${SHOP}:8080`,
    "x-forwarded-for": `${HERE}, ${HERE}`,
    "x-forwarded-host": `${SHOP}:8080`,
    "x-forwarded-port": "8080",
  });
  expect(Object.keys(pod.headers()).filter((it) => it.startsWith("waybill"))).toEqual([]);
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
  await aNode(stack, aWish({ doors: [aDoor(closed, pod.at)] }, ["192.0.2.1"]));
  const check = { headers: { "waybill-check": "1" } };
  const hop = (hops: string) => ({ headers: { "waybill-hop": hops } });

  expect(await ask(ready)).toBe("200 one 0");
  expect(await ask(ready, { host: "other.localhost" })).toMatch(/^503/);
  expect([await ask(ready, check), await ask(notReady, check)]).toEqual(["200 ", "503 "]);
  expect(await ask(notReady, hop("1"))).toBe("200 one 0");
  expect(await ask(notReady, hop("3"))).toBe("200 one 0");
  expect(await ask(elsewhere, hop("1"))).toMatch(/^503/);
  await expect(ask(closed)).rejects.toThrow();
  await expect(ask(closed, check)).rejects.toThrow();
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
