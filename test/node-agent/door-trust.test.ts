import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/free-port.ts";
import {
  aDoor,
  aNode,
  aPod,
  ask,
  aWish,
  HERE,
  INGRESS_KEY,
  type Pod,
  routed,
  SHOP,
} from "./a-node-with-doors.ts";

/* Whom ingresses believe about who asks, and what pods see of that. */

const CLIENT = "127.0.0.5";
/** Another node's address. */
const ELSEWHERE = "127.0.0.6";
const INVENTED = {
  "x-forwarded-for": "192.0.2.7",
  "x-forwarded-host": "bank.example",
  "x-forwarded-port": "443",
  "x-forwarded-proto": "https",
  "x-forwarded-prefix": "/bank",
  "x-forwarded-ssl": "on",
  "x-real-ip": "192.0.2.7",
  forwarded: "for=192.0.2.7",
  "waybill-again": "x".repeat(20),
  "waybill-hop": "1",
};
const HOST = `${SHOP}:8080`;
const saysOf = (address: string) => ({
  "x-forwarded-for": address,
  "x-forwarded-host": HOST,
  "x-forwarded-port": "8080",
  "x-forwarded-proto": "http",
});

/** What the pod was told with its last request, of who asks and of what else is between proxies. */
const told = (pod: Pod) =>
  Object.fromEntries(
    Object.entries(pod.headers()).filter(([name]) => /^(x-|forwarded|proxy-|waybill-)/.test(name)),
  );

/** Where a client asks, and the door that leads on from there: a pod of another node may ask there, too. */
type Way = {
  readonly front: number;
  readonly door?: number;
  /** Brings the pod about, for what is waiting by then. */
  readonly meanwhile?: () => Promise<void>;
};

const ways: Record<string, (stack: AsyncDisposableStack, pod: Pod) => Promise<Way>> = {
  "of the same node": async (stack, pod) => {
    const { port } = await aNode(stack, aWish({ upstreams: [pod.at] }));
    return { front: port };
  },
  "through a door": async (stack, pod) => {
    const door = await freePort();
    await aNode(stack, aWish({ upstreams: [pod.at], doors: [aDoor(door, pod.at)] }));
    return { front: await frontTo(stack, door), door };
  },
  "led on by a closed door to another pod there": async (stack, pod) => {
    const door = await freePort();
    await aNode(stack, aWish({ upstreams: [pod.at], doors: [aDoor(door, undefined, true)] }));
    return { front: await frontTo(stack, door), door };
  },
  "led on by a closed door to a third node": async (stack, pod) => {
    const [first, second] = [await freePort(), await freePort()];
    await aNode(stack, aWish({ upstreams: [pod.at], doors: [aDoor(second, pod.at)] }));
    const remote = [`${HERE}:${second}`];
    await aNode(stack, aWish({ remote, doors: [aDoor(first, undefined, true)] }));
    return { front: await frontTo(stack, first), door: first };
  },
  "begun anew at a door whose routes changed": async (stack, pod) => {
    const door = await freePort();
    const nobody = `${HERE}:${await freePort()}`;
    const wishFor = (at: string) => aWish({ upstreams: [at], doors: [aDoor(door, at)] });
    const { ingress } = await aNode(stack, wishFor(nobody));
    const meanwhile = () => routed(ingress, wishFor(pod.at));
    return { front: await frontTo(stack, door), door, meanwhile };
  },
};

const frontTo = async (stack: AsyncDisposableStack, door: number) =>
  (await aNode(stack, aWish({ remote: [`${HERE}:${door}`] }))).port;

async function answered(port: number, way: Way, said: { headers: object; from: string }) {
  const asked = ask(port, { ...said, host: HOST });
  if (way.meanwhile) {
    expect(await Promise.race([asked, sleep(300, "it waits")])).toBe("it waits");
    await way.meanwhile();
  }
  expect(await asked).toBe("200 one 0");
}

test.each(Object.entries(ways))(
  "a pod is told which client asks, and no more: %s",
  async (_, make) => {
    await using stack = new AsyncDisposableStack();
    const pod = await aPod(stack, "one");
    const way = await make(stack, pod);
    const headers = { ...INVENTED, "proxy-authorization": "Bearer a-guess" };

    await answered(way.front, way, { headers, from: CLIENT });

    expect(told(pod)).toEqual(saysOf(CLIENT));
  },
);

const atDoors = Object.entries(ways).slice(1);

test.each(atDoors)(
  "a pod elsewhere that asks as if it were an ingress is served as what it is: %s",
  async (_, make) => {
    await using stack = new AsyncDisposableStack();
    const pod = await aPod(stack, "one");
    const way = await make(stack, pod);
    const headers = { ...INVENTED, "proxy-authorization": "Bearer a-guess" };

    await answered(way.door ?? 0, way, { headers, from: HERE });

    expect(told(pod)).toEqual(saysOf(HERE));
  },
);

test("a door that was told another key serves an ingress and believes nothing", async () => {
  await using stack = new AsyncDisposableStack();
  const pod = await aPod(stack, "one");
  const door = await freePort();
  const ingressKey = INGRESS_KEY.replace("5", "6");
  await aNode(stack, aWish({ doors: [aDoor(door, pod.at)] }, { ingressKey }));
  const front = await frontTo(stack, door);

  expect(await ask(front, { host: HOST, from: CLIENT })).toBe("200 one 0");

  expect(told(pod)).toEqual(saysOf(HERE));
});

test("a door that was told no key serves other nodes, and believes its own alone", async () => {
  await using stack = new AsyncDisposableStack();
  const pod = await aPod(stack, "one");
  const [door, dead] = [await freePort(), await freePort()];
  const node = { peers: [ELSEWHERE], ingressKey: undefined };
  const remote = [`${HERE}:${dead}`];
  const { port } = await aNode(
    stack,
    aWish({ upstreams: [pod.at], doors: [aDoor(door, pod.at)], remote }, node),
  );

  expect(await ask(port, { host: HOST, from: CLIENT })).toBe("200 one 0");
  expect(told(pod)).toEqual(saysOf(CLIENT));

  expect(await ask(door, { host: HOST, from: ELSEWHERE, headers: INVENTED })).toBe("200 one 0");
  expect(told(pod)).toEqual(saysOf(ELSEWHERE));
});

test("an ingress that was told no key is served", async () => {
  await using stack = new AsyncDisposableStack();
  const pod = await aPod(stack, "one");
  const door = await freePort();
  await aNode(stack, aWish({ doors: [aDoor(door, pod.at)] }));
  const wish = aWish({ remote: [`${HERE}:${door}`] }, { ingressKey: undefined });
  const { port } = await aNode(stack, wish);

  expect(await ask(port, { host: HOST, from: CLIENT })).toBe("200 one 0");

  expect(told(pod)).toEqual(saysOf(HERE));
});

test("a pod whose app has others elsewhere sees nothing of the key that goes to those", async () => {
  await using stack = new AsyncDisposableStack();
  const [near, far] = [await aPod(stack, "near"), await aPod(stack, "far")];
  const [own, door, dead] = [await freePort(), await freePort(), await freePort()];
  await aNode(stack, aWish({ doors: [aDoor(door, far.at)] }));
  const remote = [`${HERE}:${door}`, `${HERE}:${dead}`];
  const doors = [aDoor(own, near.at)];
  const { port } = await aNode(stack, aWish({ upstreams: [near.at], doors, remote }));

  await eventually(async () => {
    await Promise.all(Array.from({ length: 10 }, () => ask(port, { host: HOST, from: CLIENT })));
    expect(Math.min(near.asked(), far.asked())).toBeGreaterThan(20);
  });

  for (const pod of [near, far]) {
    expect(pod.sawEver("proxy-authorization")).toBe(false);
    expect(pod.sawEver("waybill-hop")).toBe(false);
    expect(told(pod)).toEqual(saysOf(CLIENT));
  }
});
