import type { Api } from "./api.ts";
import type { Database, NodeRow } from "./database.ts";
import type { Fleet, Host } from "./fleet.ts";
import { running } from "./machine.ts";
import type { Random } from "./random.ts";
import type { Rules } from "./rules.ts";
import type { Timeline } from "./timeline.ts";
import type { Worker } from "./worker.ts";

/* What goes wrong, and comes right again after a while. */

/** Longer than this away, and what the control plane does not hear means nothing for a while. */
const AWAY_MS = 60_000;

export type Faults = ReturnType<typeof openFaults>;

export function openFaults(setting: {
  readonly db: Database;
  readonly api: Api;
  readonly worker: Worker;
  readonly fleet: Fleet;
  readonly rules: Rules;
  readonly timeline: Timeline;
  readonly random: Random;
  readonly tell: (text: string) => void;
  readonly gentle: boolean;
}) {
  const { db, api, worker, fleet, rules, timeline, random, tell } = setting;
  const mendings = new Set<() => void>();

  /** Seconds most of the time, and minutes now and then. */
  const someTimeMs = (mostMs: number) =>
    random.chance(0.4) ? random.int(2, 40) * 1_000 : random.int(40_000, mostMs);

  function until(ms: number, mend: () => void): void {
    const once = () => {
      if (mendings.delete(once)) mend();
    };
    mendings.add(once);
    timeline.after(ms, once);
  }

  const someHost = (): Host => random.pick(fleet.hosts);

  function cut(host: Host): void {
    const ways = random.pick([["out", "in"], ["out"], ["in"]] as const);
    for (const way of ways) host.link[way] = false;
    tell(`${host.name} is cut off, ${ways.join(" and ")}`);
    until(someTimeMs(1_200_000), () => {
      for (const way of ways) host.link[way] = true;
      tell(`${host.name} is no longer cut off, ${ways.join(" and ")}`);
    });
  }

  /** Most hosts at once: a switch fails, and their agents and apps do not. */
  function cutMost(): void {
    const cut = fleet.hosts.filter(() => random.chance(0.8));
    const isCut = ({ id, seenAtMs }: NodeRow) =>
      timeline.nowMs() - seenAtMs <= 15_000 && cut.some((host) => host.who?.node === id);
    rules.vanish([...db.nodes.values()].filter(isCut).map((it) => it.id));
    for (const host of cut) Object.assign(host.link, { out: false, in: false });
    tell(`${cut.length} of ${fleet.hosts.length} hosts are cut off`);
    until(someTimeMs(1_200_000), () => {
      for (const host of cut) Object.assign(host.link, { out: true, in: true });
      tell(`${cut.length} hosts are no longer cut off`);
    });
  }

  function killAgent(host: Host): void {
    fleet.killAgent(host);
    tell(`the agent of ${host.name} is killed`);
    until(someTimeMs(400_000), () => fleet.start(host));
  }

  function cutPower(host: Host): void {
    fleet.cutPower(host);
    tell(`${host.name} loses its power`);
    until(someTimeMs(1_200_000), () => {
      fleet.boot(host);
      tell(`${host.name} boots`);
    });
  }

  function away(part: Api | Worker, name: string): void {
    if (!part.isUp()) return;
    const sinceMs = timeline.nowMs();
    part.setUp(false);
    tell(`the ${name} is away`);
    until(someTimeMs(900_000), () => {
      part.setUp(true);
      if (timeline.nowMs() - sinceMs >= AWAY_MS) rules.cameBack();
      tell(`the ${name} is back`);
    });
  }

  /** A disk is copied and booted beside its host: it has a ledger, a token, and no session. */
  function copy(host: Host): void {
    if (host.isCopy || !host.agent || !host.link.in || !host.link.out) return;
    const twin = fleet.copy(host);
    tell(`${host.name} has a twin`);
    until(someTimeMs(300_000), () => fleet.scrap(twin));
  }

  function crash(host: Host): void {
    const [run] = running(host.machine);
    if (!run) return;
    host.runtime.end(run.sandbox.containers[0]?.id ?? "", 1);
    host.machine.onChange();
    tell(`a container of ${run.pod.metadata.name} ends`);
  }

  function setClock(host: Host): void {
    host.machine.skewMs = random.int(-7_200_000, 7_200_000);
    tell(`the clock of ${host.name} is wrong by ${host.machine.skewMs} ms`);
  }

  const mild: readonly (() => void)[] = [
    () => cut(someHost()),
    () => cut(someHost()),
    () => killAgent(someHost()),
    () => away(api, "api"),
    () => away(worker, "worker"),
    () => worker.flush(),
    cutMost,
  ];
  const hard: readonly (() => void)[] = [
    () => cutPower(someHost()),
    () => cutPower(someHost()),
    () => crash(someHost()),
    () => setClock(someHost()),
    () => copy(someHost()),
  ];
  const all = setting.gentle ? mild : [...mild, ...hard];

  return {
    strike: () => random.pick(all)(),
    /** All is well again at once. */
    mendAll: () => {
      for (const mend of [...mendings]) mend();
      for (const host of fleet.hosts) Object.assign(host.link, { out: true, in: true });
    },
  };
}
