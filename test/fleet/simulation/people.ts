import { ReleaseId } from "../../../contract/ids.ts";
import type { Api } from "./api.ts";
import type { AppRow, Database, NodeRow } from "./database.ts";
import { type AppKind, type Asked, claimOf, freeze } from "./declared.ts";
import type { Fleet } from "./fleet.ts";
import { running } from "./machine.ts";
import type { Random } from "./random.ts";
import type { Rules } from "./rules.ts";
import type { Timeline } from "./timeline.ts";
import type { Worker } from "./worker.ts";

/* What people ask for, at any moment: of their apps, and of nodes. */

export type People = ReturnType<typeof openPeople>;

export function openPeople(setting: {
  readonly db: Database;
  readonly api: Api;
  readonly worker: Worker;
  readonly fleet: Fleet;
  readonly rules: Rules;
  readonly timeline: Timeline;
  readonly random: Random;
  readonly tell: (text: string) => void;
  readonly mostReplicas: number;
}) {
  const { db, api, worker, fleet, rules, timeline, random, tell } = setting;
  let versions = 0;
  let made = 0;

  const nudge = (app: string) => {
    if (random.chance(0.95)) worker.ring(app);
  };

  function create(kind: AppKind): string {
    const name = `app-${made++}`;
    if (kind === "volume") db.volumes.set(claimOf(name), undefined);
    db.apps.set(name, { name, deleted: false, releases: [] });
    declare(name, someSpec(kind, "works"), "is new");
    return name;
  }

  function someSpec(kind: AppKind, fate: Asked["fate"]): Asked {
    const alone = kind === "singleton" || kind === "volume";
    return {
      ...{ kind, fate, version: versions++ },
      replicas: alone ? 1 : random.int(1, kind === "port" ? 2 : setting.mostReplicas),
      maxSurge: random.int(1, 2),
      memoryMib: random.int(1, 6) * 128,
      autoRevert: versions % 3 > 0,
      probed: fate !== "works" || random.chance(0.8),
    };
  }

  /** A release of it, as soon as its image is there; an app that a pass holds is asked again. */
  function declare(name: string, asked: Asked, what: string, newPods = false): void {
    const app = db.apps.get(name);
    if (!app || app.deleted || !api.isUp() || worker.isLocked(name)) return;
    const number = app.releases.length + 1;
    const id = ReleaseId.parse(random.uuid());
    const frozen = freeze(name, asked, { id, number, newPods, nowMs: timeline.nowMs() });
    const release = { frozen, asked, view: frozen.view, phase: "built" } as const;
    db.apps.set(name, { ...app, releases: [...app.releases, release] });
    tell(`${name} ${what}: release ${number}, ${asked.replicas} pods, it ${asked.fate}`);
    nudge(name);
  }

  const someApp = (): AppRow | undefined => {
    const there = [...db.apps.values()].filter((it) => !it.deleted);
    return there.length === 0 ? undefined : random.pick(there);
  };

  const ofSomeApp = (act: (app: AppRow, last: Asked) => void) => () => {
    const app = someApp();
    const last = app?.releases.at(-1)?.asked;
    if (app && last) act(app, last);
  };

  function rollBack(app: AppRow): void {
    const served = app.releases.filter((it) => it.phase === "retired");
    if (served.length === 0) return;
    const { asked, view } = random.pick(served);
    declare(app.name, asked, `is rolled back to release ${view.number}`);
  }

  function remove(app: AppRow): void {
    if (!api.isUp() || worker.isLocked(app.name)) return;
    db.apps.set(app.name, { ...app, deleted: true });
    tell(`${app.name} is deleted`);
    nudge(app.name);
    create(app.releases.at(-1)?.asked.kind ?? "plain");
  }

  const ofApps: readonly (() => void)[] = [
    ...[1, 2, 3, 4].map(() =>
      ofSomeApp((app, { kind }) =>
        declare(
          app.name,
          someSpec(kind, random.pick(["works", "works", "works", "sick", "crashes"])),
          "is declared",
        ),
      ),
    ),
    ofSomeApp((app, last) => {
      const { replicas } = someSpec(last.kind, last.fate);
      declare(app.name, { ...last, replicas }, "is scaled");
    }),
    ofSomeApp((app, last) => declare(app.name, last, "is restarted", true)),
    ofSomeApp(rollBack),
    ofSomeApp((app) => random.chance(0.3) && remove(app)),
  ];

  const ofSomeNode = (act: (node: NodeRow) => void) => () => {
    if (api.isUp() && db.nodes.size > 0) act(random.pick([...db.nodes.values()]));
  };

  const ofNodes: readonly (() => void)[] = [
    ofSomeNode(({ id, name }) => {
      db.setNode(id, { cordoned: true, draining: random.chance(0.7) });
      tell(`${name} is ${db.nodes.get(id)?.draining ? "drained" : "cordoned"}`);
    }),
    ofSomeNode(({ id, name }) => {
      db.setNode(id, { cordoned: false, draining: false });
      tell(`${name} is uncordoned`);
    }),
  ];

  /** Hosts that nobody has heard of for a while: most of the time they are off, as a person then says. */
  function fence(): void {
    const silent = [...db.nodes.values()].filter((it) => timeline.nowMs() - it.seenAtMs > 60_000);
    for (const { id, name } of silent) {
      const host = fleet.hosts.find((it) => it.who?.node === id && !it.isCopy);
      const runs = host ? running(host.machine) : [];
      if ((runs.length > 0 && random.chance(0.9)) || !api.fence(id)) continue;
      // Whoever fences a host that runs has broken the rule: its singletons are theirs.
      if (runs.length > 0) for (const pod of db.podsOn(id)) rules.waive(pod.app);
      tell(`${name} is fenced${runs.length > 0 ? " though it runs" : ""}`);
      return;
    }
  }

  function forget(): void {
    for (const { id, name, fenced } of db.nodes.values())
      if (fenced && api.forget(id)) tell(`${name} is forgotten`);
  }

  /** Every host that is on and has no node, or a fenced one, is given a join token. */
  function rejoin(): void {
    for (const host of fleet.hosts) {
      const node = host.who && db.nodes.get(host.who.node);
      if (host.isCopy || !host.machine.on || (node && !node.fenced)) continue;
      if (fleet.join(host)) tell(`${host.name} joins anew`);
    }
  }

  return {
    create,
    rejoin,
    act: () => random.pick(ofApps)(),
    /** A new release of every app, which works. */
    declareAll: () => {
      for (const { name, releases } of [...db.apps.values()])
        declare(name, someSpec(releases.at(-1)?.asked.kind ?? "plain", "works"), "is declared");
    },
    actOnNodes: () => random.pick(ofNodes)(),
    actOnSilentNodes: () => random.pick([fence, fence, forget, rejoin])(),
    uncordonAll: () => {
      for (const { id } of db.nodes.values()) db.setNode(id, { cordoned: false, draining: false });
    },
  };
}
