import { expect, test } from "vitest";
import { POD_LABELS } from "../../../contract/pod/pod.ts";
import type { AppKind } from "./declared.ts";
import { expectEnd } from "./end.ts";
import type { Host } from "./fleet.ts";
import { running } from "./machine.ts";
import { type Life, openLife } from "./simulation.ts";

/*
 * Partitions of 15 minutes and their heal, from both ends, and a database that is older than what its
 * nodes know; `rules.ts` looks at every step of it.
 */

const MINUTE_MS = 60_000;
const OFFERS = { cpuMillis: 8_000, memoryBytes: 8e9, pods: 50 };

/** Five hosts with one app of each kind, all of them live. */
function aFleet(seed: number, { gentle } = { gentle: true }) {
  const life = openLife(seed, { gentle, mostReplicas: 4 });
  for (let at = 0; at < 5; at++) life.fleet.join(life.fleet.add(`node-${at}`, OFFERS));
  lives(life, MINUTE_MS);
  const apps = (["plain", "singleton", "volume"] as const satisfies AppKind[]).map((kind) =>
    life.people.create(kind),
  );
  lives(life, 2 * MINUTE_MS);
  const [plain, singleton, volume] = apps as [string, string, string];
  return { ...life, life, plain, singleton, volume };
}

function lives(life: Life, ms: number): void {
  const endMs = life.timeline.nowMs() + ms;
  life.telling(() => {
    while (life.timeline.nowMs() < endMs) life.step();
  });
}

const podsOn = ({ machine }: Host) => running(machine).map(({ pod }) => pod.metadata.uid);
const runs = ({ machine }: Host, app: string) =>
  running(machine).some(({ pod }) => pod.metadata.labels[POD_LABELS.app] === app);

function cut({ link }: Host, way: readonly ("out" | "in")[]): void {
  for (const it of way) link[it] = false;
}

function heal({ link }: Host): void {
  Object.assign(link, { out: true, in: true });
}

const SEEDS = [1, 2, 3, 4, 5];
const WAYS = [
  ["both ways", ["out", "in"]],
  ["from the host on", ["out"]],
  ["to the host", ["in"]],
] as const;

test.each(WAYS)("a host with a singleton that is cut off for 15 minutes, %s", (_, way) => {
  for (const seed of SEEDS) {
    const { life, fleet, singleton, volume, plain, db } = aFleet(seed);
    const [host] = fleet.hosts.filter((it) => runs(it, singleton)) as [Host];
    const before = podsOn(host);

    cut(host, way);
    lives(life, 15 * MINUTE_MS);

    // The host's end: it goes on with all it had, and nobody else has begun what runs here.
    expect(podsOn(host)).toEqual(before);
    expect(fleet.hosts.filter((it) => runs(it, singleton))).toEqual([host]);
    // The other end: what may run twice has others in its place, unless its host is heard of.
    const wanted = db.podsOf(plain).filter(({ view }) => view.wanted === "run");
    const [elsewhere, asked] = [
      wanted.filter(({ view }) => view.node !== host.who?.node).length,
      db.apps.get(plain)?.releases[0]?.view.replicas ?? 0,
    ];
    if (way.some((it) => it === "out")) expect(elsewhere).toBe(asked);
    else expect(wanted).toHaveLength(asked);

    heal(host);
    lives(life, 2 * MINUTE_MS);

    for (const app of [singleton, volume])
      expect(fleet.hosts.filter((it) => runs(it, app))).toHaveLength(1);
    life.telling(() => expectEnd(life));
  }
});

test("most hosts are cut off for 15 minutes, and none of them loses anything", () => {
  for (const seed of SEEDS) {
    const { life, fleet, db } = aFleet(seed);
    const before = fleet.hosts.map(podsOn);
    const rows = [...db.pods.keys()];

    for (const host of fleet.hosts.slice(1)) cut(host, ["out", "in"]);
    lives(life, 15 * MINUTE_MS);

    expect(fleet.hosts.map(podsOn)).toEqual(before);
    expect([...db.pods.keys()]).toEqual(rows);

    for (const host of fleet.hosts) heal(host);
    lives(life, 15 * MINUTE_MS);

    expect(fleet.hosts.map(podsOn)).toEqual(before);
    expect([...db.pods.keys()]).toEqual(rows);
  }
});

test("a host that is cut off, and loses its power in between, starts its singleton when it is told to", () => {
  for (const seed of SEEDS) {
    const { life, fleet, singleton, api } = aFleet(seed, { gentle: false });
    const [host] = fleet.hosts.filter((it) => runs(it, singleton)) as [Host];

    cut(host, ["out", "in"]);
    fleet.cutPower(host);
    lives(life, 2 * MINUTE_MS);
    fleet.boot(host);
    lives(life, 8 * MINUTE_MS);

    expect(fleet.hosts.filter((it) => runs(it, singleton))).toEqual([]);
    expect(podsOn(host).length).toBeGreaterThan(0);

    if (host.who) expect(api.fence(host.who.node)).toBe(true);
    lives(life, 5 * MINUTE_MS);
    const [other] = fleet.hosts.filter((it) => runs(it, singleton)) as [Host];
    expect(other).not.toBe(host);

    heal(host);
    life.people.rejoin();
    lives(life, 5 * MINUTE_MS);

    expect(fleet.hosts.filter((it) => runs(it, singleton))).toEqual([other]);
    life.telling(() => expectEnd(life));
  }
});

test("nodes that know more than a restored database go on with what they know", () => {
  for (const seed of SEEDS) {
    const { life, fleet, db, api, worker, people } = aFleet(seed, { gentle: false });
    const restore = db.backUp();
    const backedUp = fleet.hosts.map(({ disk }) => disk.wish?.generation ?? 0);
    for (let wishes = 0; wishes < 5; wishes++) {
      people.declareAll();
      lives(life, 3 * MINUTE_MS);
    }
    const known = fleet.hosts.map(({ disk }) => disk.wish?.generation ?? 0);
    const before = fleet.hosts.map(podsOn);

    restore();
    life.rules.restored();
    api.restart();
    worker.flush();
    lives(life, 30 * MINUTE_MS);

    expect(known).not.toEqual(backedUp);
    expect(fleet.hosts.map(({ disk }) => disk.wish?.generation ?? 0)).toEqual(known);
    expect(fleet.hosts.map(podsOn)).toEqual(before);
  }
});
