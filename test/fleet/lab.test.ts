import { copyFile, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { DesiredState } from "../../contract/node/protocol.ts";
import { eventually } from "../support/eventually.ts";
import { anApp, deploy, podsOf, startsOf, TELLS_WHO } from "../support/lab/an-app.ts";
import type { Host } from "../support/lab/host.ts";
import { type Lab, openLab } from "../support/lab/lab.ts";
import { aLoad } from "../support/lab/load.ts";

/* Three hosts, an app with a pod on each, and what may happen to a host and to the way to it. */

let lab: Lab;

beforeAll(async () => {
  lab = await openLab({ hosts: 3 });
}, 60_000);
afterEach(async () => {
  await Promise.all(lab.hosts.map((it) => it.link.heal()));
});
afterAll(async () => {
  await lab?.[Symbol.asyncDispose]();
}, 60_000);

const WEB = "web.localhost";
const nodes = async () => {
  const { body } = await lab.controlPlane.call("GET", "/v1/nodes");
  return (body.nodes as { name: string; ready: boolean }[]).map(
    (it) => `${it.name} ${it.ready ? "ready" : "silent"}`,
  );
};

/** Waits for what hosts bring about, and tells what their agents said where that does not come. */
async function soon(check: () => Promise<void>): Promise<void> {
  try {
    await eventually(check, { withinMs: 40_000, everyMs: 100 });
  } catch (error) {
    const said = lab.hosts.map((it) => `${it.name}: ${it.agentLog().slice(-2_000)}`).join("\n");
    throw new Error(`the agents said, last: ${said}`, { cause: error });
  }
}

const starts = async () => startsOf(await podsOf(lab.controlPlane, "web"));
const itsOwn = ({ name }: Host) => ({ status: 200, text: expect.stringContaining(name) });
const served = { status: 200, text: expect.stringContaining("host-") };
/** Nothing comes of it while something is in the way. */
const waits = async (visit: Promise<unknown>) =>
  expect(await Promise.race([visit, sleep(500, "no answer yet")])).toBe("no answer yet");
const serves = async (host: Host) => expect(await host.visit(WEB)).toEqual(served);
const servesItsOwn = async (host: Host) => expect(await host.visit(WEB)).toEqual(itsOwn(host));
/** What a command line writes in the pod of the app that runs there. */
async function runIn({ name }: Host, line: string): Promise<string> {
  const pod = (await podsOf(lab.controlPlane, "web")).find((it) => it.node === name)?.name;
  const { body } = await lab.controlPlane.call("POST", "/v1/apps/web/exec", {
    body: JSON.stringify({ pod, command: ["sh", "-c", line] }),
    headers: { "content-type": "application/json" },
  });
  expect(body).toMatchObject({ exitCode: 0 });
  return String(body.stdout);
}
/** On which hosts those are that answer at this one. */
const answering = async (host: Host) => {
  const pages = await Promise.all(Array.from({ length: 20 }, () => host.visit(WEB)));
  return [...new Set(pages.map(({ text }) => text.trim().split(" ").at(-1)))].sort();
};

test("replicas spread over the hosts, and each host's ingress reaches all of them", {
  timeout: 90_000,
}, async () => {
  const answer = await deploy(lab.controlPlane, anApp("web", { replicas: 3 }));

  expect(answer).toMatchObject({ status: 200, body: { phase: "live" } });
  const pods = await podsOf(lab.controlPlane, "web");
  expect(pods.map((it) => it.node)).toEqual(["host-1", "host-2", "host-3"]);
  for (const host of lab.hosts)
    await soon(async () => expect(await answering(host)).toEqual(["host-1", "host-2", "host-3"]));
});

test("a pod is told who asks through any host's ingress, and no invention of a pod elsewhere", {
  timeout: 60_000,
}, async () => {
  const [first, second] = lab.hosts as [Host, Host];
  const { url } = lab.controlPlane;
  const client = new URL(url).hostname;
  await soon(async () => {
    const visits = Array.from({ length: 20 }, () => first.visit(WEB, TELLS_WHO));
    const said = new Set((await Promise.all(visits)).map(({ text }) => text.trim()));
    expect(said).toEqual(new Set(lab.hosts.map(({ name }) => `${client} [] ${name}`)));
  });

  const ledger = await readFile(join(second.env.WAYBILL_AGENT_DIR, "ledger.json"), "utf8");
  const { routes } = DesiredState.parse(JSON.parse(ledger));
  const [door] = routes.flatMap((it) => (it.app === "web" ? Object.values(it.nodePorts) : []));
  const invented = ["X-Forwarded-For: 192.0.2.7", "Proxy-Authorization: Bearer a-guess"];
  const headers = [`Host: ${WEB}`, ...invented].map((it) => `--header '${it}'`).join(" ");
  const line = `wget -qO- ${headers} http://${second.address}:${door}${TELLS_WHO}`;

  expect(await runIn(first, line)).toBe(`${first.address} [] ${second.name}\n`);
});

test("no request fails at any host while releases follow one another", {
  timeout: 120_000,
}, async () => {
  const one = (version: string) => anApp("moving", { replicas: 2, version });
  await deploy(lab.controlPlane, one("first"));
  const [host] = lab.hosts;
  await soon(async () => {
    for (const it of lab.hosts) expect((await it.visit("moving.localhost")).status).toBe(200);
  });
  await using load = await aLoad({
    to: lab.hosts.map(({ address }) => ({ address, port: 8080, host: "moving.localhost" })),
    perSecond: 20,
  });

  for (const version of ["second", "third", "fourth"])
    expect(await deploy(lab.controlPlane, one(version))).toMatchObject({ status: 200 });
  await soon(async () => expect((await host?.visit("moving.localhost"))?.text).toContain("fourth"));

  const { failures, sent } = await load.stop();
  expect(sent).toBeGreaterThan(100);
  expect(failures).toEqual([]);
  await lab.controlPlane.call("DELETE", "/v1/apps/moving");
});

test("a host that nobody hears of goes on serving, and is taken back without a restart", {
  timeout: 90_000,
}, async () => {
  const host = lab.host("host-2");
  const before = await starts();
  await using load = await aLoad({
    to: lab.hosts.map(({ ingress }) => ({ ...ingress, host: WEB })),
    perSecond: 20,
  });

  await host.link.cut();
  await lab.controlPlane.age(host.name, 60);

  await soon(async () =>
    expect(await nodes()).toEqual(["host-1 ready", "host-2 silent", "host-3 ready"]),
  );
  const visit = host.visit(WEB);
  await waits(visit);
  expect(await host.visitInside(WEB)).toEqual(itsOwn(host));
  await host.link.heal();
  expect(await visit).toEqual(served);
  await soon(async () => expect(await nodes()).not.toContain("host-2 silent"));
  expect(await starts()).toEqual(before);
  const { answers, failures } = await load.stop();
  expect(Object.keys(answers)).toHaveLength(3);
  expect(failures.filter(({ to }) => !to.includes(host.address))).toEqual([]);
});

test("a host that is half deaf, cut off from one other or slow serves whom it can", {
  timeout: 60_000,
}, async () => {
  const [first, second] = lab.hosts as [Host, Host];
  const ping = (from: Host, to: Host) =>
    from.run("/bin/busybox", ["ping", "-c", "1", "-W", "1", to.address]);

  await first.link.cut({ way: "in", peer: second.address });
  await expect(ping(first, second)).rejects.toThrow();
  await serves(first);
  await first.link.heal();
  await ping(first, second);

  await first.link.slow(64);
  const visits = Promise.all(Array.from({ length: 40 }, () => serves(first)));
  await waits(visits);
  await visits;
  await first.link.heal();
});

test("a host that loses power brings its pods back with nobody to ask", {
  timeout: 90_000,
}, async () => {
  const host = lab.host("host-3");
  const before = await starts();
  await lab.controlPlane.stop();

  await host.powerOff();
  await expect(host.visit(WEB)).rejects.toThrow();
  await host.powerOn();
  await host.startAgent();

  await soon(() => servesItsOwn(host));
  await lab.controlPlane.start();
  await soon(async () => {
    const [first, second, third] = await starts();
    expect([first, second]).toEqual(before.slice(0, 2));
    expect(third).toContain("host-3, 1 restarts");
  });
});

test("a host that stands still answers when it goes on, and nothing was restarted", {
  timeout: 60_000,
}, async () => {
  const host = lab.host("host-1");
  const before = await starts();

  await host.freeze();
  const visit = host.visit(WEB);
  await waits(visit);
  await host.thaw();

  expect(await visit).toEqual(served);
  expect(await starts()).toEqual(before);
});

test("a host with the identity of another is refused while that one is heard of, and stops nothing", {
  timeout: 90_000,
}, async () => {
  const [original, copy] = [lab.host("host-1"), lab.host("host-2")];
  const inDir = (host: Host, file: string) => join(host.env.WAYBILL_AGENT_DIR, file);
  const identity = ["node.json", "node.key"];
  const before = await starts();

  await copy.endAgent("SIGKILL");
  for (const file of identity) {
    await rename(inDir(copy, file), inDir(copy, `${file}.own`));
    await copyFile(inDir(original, file), inDir(copy, file));
  }
  await copy.startAgent();
  await soon(async () => expect(copy.agentLog()).toContain("Another agent speaks for host-1"));

  await serves(copy);
  expect(await nodes()).toContain("host-1 ready");
  await copy.endAgent("SIGKILL");
  for (const file of identity) await rename(inDir(copy, `${file}.own`), inDir(copy, file));
  await copy.startAgent();
  await soon(async () => expect(await nodes()).toContain("host-2 ready"));
  expect(await starts()).toEqual(before);
});
