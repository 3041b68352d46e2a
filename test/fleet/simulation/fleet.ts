import type { NodeId, PodId } from "../../../contract/ids.ts";
import type { Amounts } from "../../../contract/pod/requests.ts";
import { type Agent, type Disk, type Said, startAgent } from "./agent.ts";
import type { Api, Speaker } from "./api.ts";
import type { Database } from "./database.ts";
import { aMachine, type Machine, openRuntime, powerOff, type Runtime } from "./machine.ts";
import type { Random } from "./random.ts";
import { STEP_MS, type Timeline } from "./timeline.ts";

/* Hosts with their agents, and the network between them and the api. */

const HEARTBEAT_MS = 10_000;

export type Host = {
  readonly name: string;
  readonly offers: Amounts;
  readonly machine: Machine;
  readonly runtime: Runtime;
  readonly disk: Disk;
  /** Whether its messages reach the api, and the api's reach it. */
  readonly link: { out: boolean; in: boolean };
  /** A copy of another host's disk, with that one's identity. */
  readonly isCopy: boolean;
  who: Speaker | undefined;
  /** Made anew by each boot; an agent's restart keeps it. */
  session: string;
  agent: Agent | undefined;
};

export type Fleet = ReturnType<typeof openFleet>;

export function openFleet(setting: {
  readonly db: Database;
  readonly api: Api;
  readonly timeline: Timeline;
  readonly random: Random;
  readonly onStop: (host: Host, pod: PodId) => void;
}) {
  const { db, api, timeline, random } = setting;
  const hosts: Host[] = [];
  let lossy = true;

  function add(name: string, offers: Amounts, original?: Host): Host {
    const machine = aMachine(name);
    const host: Host = {
      ...{ name, offers, machine, runtime: openRuntime(machine, timeline, random) },
      disk: { wish: original?.disk.wish, outcomes: new Map() },
      link: { out: true, in: true },
      isCopy: original !== undefined,
      session: random.uuid(),
      ...{ who: undefined, agent: undefined },
    };
    hosts.push(host);
    timeline.after(random.int(0, 9) * STEP_MS, () => beat(host));
    return host;
  }

  /** What was sent may be lost, come late, come twice, and come after what was sent later. */
  function send(host: Host, way: "out" | "in", deliver: () => void): void {
    const copies = lossy && random.chance(0.03) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      if (!host.link[way] || (lossy && random.chance(0.03))) continue;
      const longest = lossy && random.chance(0.05) ? 60 : 2;
      timeline.after(random.int(0, longest) * STEP_MS, () => host.link[way] && deliver());
    }
  }

  function report(host: Host, said: Said | undefined): void {
    const { who } = host;
    if (who && who.node === said?.node) send(host, "out", () => api.report(who, said));
  }

  function ask(host: Host): void {
    const { who, agent } = host;
    if (who && agent) send(host, "out", () => answer(host, who, agent));
  }

  function answer(host: Host, who: Speaker, agent: Agent): void {
    const state = api.desired(who);
    if (state) send(host, "in", () => agent.hear(state));
  }

  /** Every 10 s a host reports, and asks where what it holds may not be what stands. */
  function beat(host: Host): void {
    const { agent, who } = host;
    if (agent && who) {
      report(host, agent.said());
      const current = db.nodes.get(who.node)?.generation;
      if (!agent.isAnswered() || host.disk.wish?.generation !== current) ask(host);
    }
    if (hosts.includes(host)) timeline.after(HEARTBEAT_MS, () => beat(host));
  }

  function join(host: Host): boolean {
    const who = api.join(host.name, host.session, host.offers);
    if (!who) return false;
    host.who = who;
    killAgent(host);
    start(host);
    return true;
  }

  function start(host: Host): void {
    if (!host.machine.on || host.agent || !host.who) return;
    const { node } = host.who;
    host.agent = startAgent({
      ...{ node, timeline, random, machine: host.machine },
      ...{ runtime: host.runtime, disk: host.disk },
      onNews: (said) => report(host, said),
      onStop: (pod) => setting.onStop(host, pod),
    });
    ask(host);
  }

  function killAgent(host: Host): void {
    host.agent?.kill();
    host.agent = undefined;
  }

  function cutPower(host: Host): void {
    killAgent(host);
    powerOff(host.machine);
  }

  function boot(host: Host): void {
    host.machine.on = true;
    host.session = random.uuid();
    if (host.who) host.who = { ...host.who, session: host.session };
    start(host);
  }

  return {
    ...{ hosts, add, join, start, killAgent, cutPower, boot },
    /** A host with the same identity, from a copy of the disk; it is there until it is scrapped. */
    copy: (original: Host): Host => {
      const host = add(original.name, original.offers, original);
      host.who = original.who && { ...original.who, session: host.session };
      start(host);
      return host;
    },
    scrap: (host: Host) => {
      cutPower(host);
      hosts.splice(hosts.indexOf(host), 1);
    },
    /** Whoever waits for this node's wish is answered. */
    tell: (node: NodeId) => {
      for (const host of hosts) {
        const { who, agent } = host;
        if (who?.node === node && agent && host.link.out) answer(host, who, agent);
      }
    },
    setLossy(is: boolean): void {
      lossy = is;
    },
  };
}
