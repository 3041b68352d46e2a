import { rm } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { cleanUp } from "../../standalone/clean.ts";
import { answers } from "../../standalone/health.ts";
import type { Part } from "../../standalone/part.ts";
import { ingress } from "../../standalone/parts/node-side.ts";
import {
  endForgottenServer,
  ensureCluster,
  ensureDatabase,
} from "../../standalone/parts/postgres-cluster.ts";
import { chooseLoopbackPort } from "../../standalone/ports.ts";
import { isAlive } from "../../standalone/processes.ts";
import { bringUp, StartError, shutDown, untilReady } from "../../standalone/supervise.ts";
import { type Fleet, watch } from "../../standalone/watch.ts";
import { eventually } from "../support/eventually.ts";
import { aWorld } from "./a-world.ts";

const never = new AbortController().signal;

test("PostgreSQL keeps its rows when everything was killed, and two never work on one cluster", async () => {
  await using world = await aWorld();
  const { options, part, ask } = await world.postgres();
  await ensureCluster(options);
  const first = await bringUp(part, world.places);
  await untilReady(first, never);
  await ensureDatabase(options);
  await ensureDatabase(options);
  await ask("create table kept (n int); insert into kept values (42)");

  // A crash between the start and its record: nobody knows of the server any more.
  await rm(join(world.places.recordsDir, "postgres.json"));
  await endForgottenServer(options.home, undefined);
  expect(isAlive(first.process)).toBe(false);
  const second = await bringUp(part, world.places);
  await untilReady(second, never);
  process.kill(second.process.pid, "SIGKILL");
  await eventually(() => expect(isAlive(second.process)).toBe(false));
  const third = await eventually(async () => {
    const running = await bringUp(part, world.places);
    await untilReady(running, never);
    return running;
  });

  expect(third.adopted).toBe(false);
  expect(await ask("select n from kept")).toBe("42");
});

test("a healthy part that a killed standalone left is taken over, as the same process", async () => {
  await using world = await aWorld();
  const part = await world.redis();
  const first = await bringUp(part, world.places);
  await untilReady(first, never);

  const second = await bringUp(part, world.places);

  expect(second.adopted).toBe(true);
  expect(second.process).toMatchObject(first.process);
});

test("a part that answers late once is taken over all the same", async () => {
  await using world = await aWorld();
  const port = await chooseLoopbackPort(new Set());
  // It answers its start, leaves the next question alone, and answers again.
  const script = `let n = 0; require("http").createServer((_, a) => ++n === 2 || a.end()).listen(${port}, "127.0.0.1")`;
  const part: Part = {
    ...(await world.redis()),
    program: process.execPath,
    argv: ["-e", script],
    ready: { kind: "http", url: `http://127.0.0.1:${port}/` },
  };
  const first = await bringUp(part, world.places);
  await untilReady(first, never);

  const second = await bringUp(part, world.places);

  expect(second.adopted).toBe(true);
  expect(isAlive(first.process)).toBe(true);
});

test("a part that was left with another configuration is replaced", async () => {
  await using world = await aWorld();
  const first = await bringUp(await world.redis(), world.places);
  await untilReady(first, never);

  const second = await bringUp(await world.redis(), world.places);
  await untilReady(second, never);

  expect(second.adopted).toBe(false);
  expect(isAlive(first.process)).toBe(false);
});

test("the one Caddy of an earlier version is replaced by two, which its agent cannot reach", async () => {
  await using world = await aWorld();
  const { dataDir, places } = world;
  const { runDir } = places;
  const httpPort = await chooseLoopbackPort(new Set());
  const { router, front } = ingress({ dataDir, runDir, httpPort });
  const agentsSocket = `${runDir}/caddy-admin.sock`;
  const listen = [`:${httpPort}`];
  const config = {
    admin: { listen: `unix/${agentsSocket}`, origins: ["localhost"] },
    apps: { http: { servers: { waybill: { listen, automatic_https: { disable: true } } } } },
  };
  const files = router.files.map(({ path }) => ({ path, text: JSON.stringify(config) }));
  const ready = { kind: "http-on-socket", socket: agentsSocket, path: "/config/" } as const;
  const before = await bringUp({ ...router, files, ports: [httpPort], ready }, places);
  await untilReady(before, never);

  for (const part of [router, front]) {
    const running = await bringUp(part, places);
    await untilReady(running, never);
  }

  expect(isAlive(before.process)).toBe(false);
  expect(await answers(ready, { path: "", from: 0 })).toBe(false);
  const answer = await fetch(`http://127.0.0.1:${httpPort}/`);
  expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "1"]);
});

test("a part that nobody recorded is ended by the clean-up after down", async () => {
  await using world = await aWorld();
  const part = await world.redis();
  const forgotten = await bringUp(part, world.places);
  await untilReady(forgotten, never);
  await rm(join(world.places.recordsDir, "redis.json"));
  const said: string[] = [];

  const traces = { places: world.places, bridge: "wb-none", network: "waybill-none" };
  await cleanUp(traces, (line) => said.push(line));

  expect(isAlive(forgotten.process)).toBe(false);
  expect(said).toContain("removed 1 leftover process");
});

test("the registry starts, answers and stops", async () => {
  await using world = await aWorld();
  const part = await world.registry();
  const running = await bringUp(part, world.places);
  await untilReady(running, never);

  const outcome = await shutDown(
    part.name,
    running.process,
    { ...part.stop, withGroup: true },
    world.places,
  );

  expect(outcome).toBe("ended");
  expect(await answers(part.ready, running.log)).toBe(false);
});

test("a part that was killed is started again, and says so", async () => {
  await using world = await aWorld();
  const part = await world.redis();
  const first = await bringUp(part, world.places);
  await untilReady(first, never);
  const fleet: Fleet = new Map([["redis", first]]);
  const said: string[] = [];
  const end = new AbortController();
  const beforeStart = async (name: string) => {
    said.push(`before ${name}`);
    throw new Error("no token");
  };
  const watching = watch(fleet, world.places, (line) => said.push(line), end.signal, {
    beforeStart,
  });

  process.kill(first.process.pid, "SIGKILL");

  await eventually(async () => {
    expect(fleet.get("redis")?.process.pid).not.toBe(first.process.pid);
    expect(await answers(part.ready, first.log)).toBe(true);
  });
  end.abort();
  await watching;
  expect(said).toEqual([
    "redis was ended by SIGKILL; starting it again in 1 s",
    "before redis",
    "no token",
    "redis started again",
  ]);
});

test("a part that is slow to start again keeps no other down", async () => {
  await using world = await aWorld();
  const redis = await bringUp(await world.redis(), world.places);
  await untilReady(redis, never);
  const script = `console.log("up"); setInterval(() => undefined, 1000)`;
  const slow = await bringUp(
    {
      ...(await world.redis()),
      ...{ name: "node-agent", program: process.execPath, argv: ["-e", script], adopt: false },
      ready: { kind: "log-line", text: "up" },
    },
    world.places,
  );
  const fleet: Fleet = new Map([
    ["node-agent", slow],
    ["redis", redis],
  ]);
  const end = new AbortController();
  const held = Promise.withResolvers<void>();
  const beforeStart = (name: string) =>
    name === "node-agent" ? held.promise : Promise.resolve(undefined);
  const watching = watch(fleet, world.places, () => undefined, end.signal, { beforeStart });

  process.kill(slow.process.pid, "SIGKILL");
  process.kill(redis.process.pid, "SIGKILL");

  await eventually(() => expect(fleet.get("redis")?.process.pid).not.toBe(redis.process.pid));
  expect(fleet.get("node-agent")?.process.pid).toBe(slow.process.pid);
  end.abort();
  held.resolve();
  await watching;
});

test("a program of ours that hangs is ended and started again", { timeout: 60_000 }, async () => {
  await using world = await aWorld();
  const port = await chooseLoopbackPort(new Set());
  const script = `require("http").createServer((_, a) => a.end()).listen(${port}, "127.0.0.1")`;
  const part: Part = {
    ...(await world.redis()),
    name: "api",
    program: process.execPath,
    argv: ["-e", script],
    adopt: false,
    ready: { kind: "http", url: `http://127.0.0.1:${port}/` },
  };
  const first = await bringUp(part, world.places);
  await untilReady(first, never);
  const fleet: Fleet = new Map([["api", first]]);
  const said: string[] = [];
  const end = new AbortController();
  const watching = watch(fleet, world.places, (line) => said.push(line), end.signal, {
    askEveryMs: 500,
  });

  process.kill(first.process.pid, "SIGSTOP");

  await eventually(async () => expect(await answers(part.ready, first.log)).toBe(true), {
    withinMs: 40_000,
  });
  end.abort();
  await watching;
  expect(said[0]).toBe("api runs and does not answer; ending it");
  expect(fleet.get("api")?.process.pid).not.toBe(first.process.pid);
});

test("what a killed program of ours was running ends before it is started again", async () => {
  await using world = await aWorld();
  const script = `require("child_process").spawn("/usr/bin/sleep", ["300"]); console.log("up")`;
  const part: Part = {
    ...(await world.redis()),
    name: "worker",
    program: process.execPath,
    argv: ["-e", script],
    adopt: false,
    ready: { kind: "log-line", text: "up" },
  };
  const first = await bringUp(part, world.places);
  await untilReady(first, never);
  process.kill(first.process.pid, "SIGKILL");
  await eventually(() => expect(isAlive(first.process)).toBe(false));

  await untilReady(await bringUp(part, world.places), never);

  await eventually(() => expect(() => process.kill(-first.process.pid, 0)).toThrow("ESRCH"));
});

test("a part that cannot start says why in its own words", async () => {
  await using world = await aWorld();
  const part = await world.redis();
  const broken = { ...part, argv: [...part.argv, "--no-such-option"] };

  const started = bringUp(broken, world.places).then((running) => untilReady(running, never));

  await expect(started).rejects.toThrow(StartError);
  await expect(started).rejects.toThrow(/redis ended with code 1 while starting[\s\S]*no-such-opt/);
});
