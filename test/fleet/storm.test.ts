import { afterAll, beforeAll, expect, test } from "vitest";
import type { Answer } from "../support/call-api.ts";
import { eventually } from "../support/eventually.ts";
import { anApp, deploy, TELLS_SIZE } from "../support/lab/an-app.ts";
import { type AppWatched, watchFleet } from "../support/lab/fleet-watch.ts";
import { type Lab, openLab } from "../support/lab/lab.ts";
import { aLoad, type Target } from "../support/lab/load.ts";

/* The promise of many hosts as a whole: whatever people and accidents do to it, those who use the apps see nothing. */

const APPS = [
  { name: "one", replicas: 1 },
  { name: "two", replicas: 2 },
  { name: "pair", replicas: 2 },
  { name: "couple", replicas: 2 },
  { name: "three", replicas: 3 },
  { name: "trio", replicas: 3 },
];
type App = (typeof APPS)[number];

const ROLLOUTS = 50;
const SURGE = 1;
/** Of each app, through all hosts together. */
const PER_SECOND = 20;
const BYTES = 20_000;
/** Of requests to one app at one host: three GETs and a POST. */
const KINDS = 4;
/** Whoever is still in a pod when it is ended is cut off. */
const NO_GRACE = { terminationGracePeriodSeconds: 0 };

let lab: Lab;

beforeAll(async () => {
  lab = await openLab({ hosts: 3 });
}, 60_000);
afterAll(async () => {
  await lab?.[Symbol.asyncDispose]();
}, 60_000);

test("whatever people and accidents do, no request fails and as many pods are ready as were asked for", {
  timeout: 400_000,
}, async () => {
  const accepted = new Map(APPS.map(({ name }) => [name, new Set<number>()]));
  let rollouts = 0;
  const rollOut = async ({ name, replicas }: App, version: number) => {
    const spec = anApp(name, {
      replicas,
      version: `v${version}`,
      warmUpSeconds: 0.5,
      pod: NO_GRACE,
    });
    const { status, body } = await declared(spec, version % 4 === 3 ? "" : undefined);
    expect([200, 202], JSON.stringify(body)).toContain(status);
    accepted.get(name)?.add(body.release as number);
  };
  await Promise.all(APPS.map((app) => rollOut(app, 0)));
  await everyIngressReachesAll();
  await using watch = watchFleet(lab);
  const plan = { to: targets(), perSecond: PER_SECOND / lab.hosts.length / KINDS / 2 };
  await using fresh = await aLoad(plan);
  await using kept = await aLoad({ ...plan, keepAlive: true });

  const rolling = APPS.map(async (app) => {
    for (let version = 1; rollouts < ROLLOUTS; version++) {
      rollouts += 1;
      await rollOut(app, version);
    }
  });
  const after = (count: number) =>
    eventually(() => expect(rollouts).toBeGreaterThanOrEqual(count), { withinMs: 300_000 });
  await Promise.all([...rolling, accidents(after)]);
  await eventually(everyAppIsSettled, { withinMs: 60_000, everyMs: 200 });

  const failures = (await Promise.all([fresh.stop(), kept.stop()])).flatMap((it) => it.failures);
  const seen = await watch.stop();
  expect(failures).toEqual([]);
  for (const { name, replicas } of APPS) {
    const { fewestReady, fewestRunning, mostWanted, mostRunning, live } = seen[name] as AppWatched;
    expect(Math.min(fewestReady, fewestRunning), name).toBeGreaterThanOrEqual(replicas);
    expect(Math.max(mostWanted, mostRunning), name).toBeLessThanOrEqual(replicas + SURGE);
    expect(live, name).toEqual(live.toSorted((one, other) => one - other));
    await everyReleaseEndedWell(name, accepted.get(name) ?? new Set());
  }
});

/** Each while rollouts go on; what was killed is started again at once, as whoever watches it does. */
async function accidents(after: (rollouts: number) => Promise<void>): Promise<void> {
  const { controlPlane } = lab;
  const host = lab.host("host-2");
  await after(10);
  await host.endAgent("SIGKILL");
  await host.startAgent();
  await after(16);
  await controlPlane.worker.end("SIGKILL");
  await controlPlane.start();
  await after(22);
  await controlPlane.api.end("SIGKILL");
  await controlPlane.start();
  await after(28);
  const drained = await controlPlane.call(
    "POST",
    "/v1/nodes/host-3/drain?wait=drained&timeout=120",
  );
  expect(drained, JSON.stringify(drained.body)).toMatchObject({ status: 200 });
  await after(40);
  await controlPlane.call("POST", "/v1/nodes/host-3/uncordon");
}

async function everyAppIsSettled(): Promise<void> {
  for (const { name, replicas } of APPS) {
    const { body } = await lab.controlPlane.call("GET", `/v1/apps/${name}`);
    expect(body.live).toBe(body.wanted);
    expect(body.pods).toHaveLength(replicas);
  }
}

/** The newest is live; each other one served and was followed, or was overtaken. */
async function everyReleaseEndedWell(app: string, accepted: ReadonlySet<number>): Promise<void> {
  const { body } = await lab.controlPlane.call("GET", `/v1/apps/${app}/releases?limit=100`);
  const releases = body.releases as { release: number; phase: string }[];
  const phases = new Map(releases.map((it) => [it.release, it.phase]));
  const [newest, ...others] = [...accepted].sort((one, other) => other - one);
  expect(phases.get(newest ?? 0), app).toBe("live");
  for (const number of others)
    expect(["retired", "superseded"], `${app} ${number}`).toContain(phases.get(number));
}

const targets = (): readonly Target[] =>
  APPS.flatMap(({ name }) =>
    lab.hosts.flatMap(({ ingress }) => {
      const target = { ...ingress, host: `${name}.localhost` };
      return [target, target, target, { ...target, path: TELLS_SIZE, bytes: BYTES }];
    }),
  );

/**
 * Said again where the api went away meanwhile or the time to wait was over, as a pipeline would: the
 * same spec is the same release.
 */
async function declared(spec: object, query: string | undefined): Promise<Answer> {
  const declare = async () => {
    const answer = await deploy(lab.controlPlane, spec, query);
    if (answer.status === 504) throw new Error(JSON.stringify(answer.body));
    return answer;
  };
  return await eventually(declare, { withinMs: 120_000, everyMs: 200 });
}

async function everyIngressReachesAll(): Promise<void> {
  await eventually(
    async () => {
      for (const { name } of APPS)
        for (const host of lab.hosts)
          expect(await host.visit(`${name}.localhost`), `${name} at ${host.name}`).toMatchObject({
            status: 200,
          });
    },
    { withinMs: 30_000 },
  );
}
