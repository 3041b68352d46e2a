import type { NodeId, PodId } from "../../../contract/ids.ts";
import type { Demands } from "../../../contract/placement/demands.ts";
import type { Random } from "./random.ts";

/* A host with its agent, as far as placing depends on them. */

export type WishedPod = {
  readonly id: PodId;
  readonly app: string;
  readonly demands: Demands;
  readonly exclusive: boolean;
  /** Whether it ever becomes ready. */
  readonly works: boolean;
};
export type Wish = { readonly generation: number; readonly pods: readonly WishedPod[] };
export type Report = {
  readonly node: NodeId;
  readonly observedGeneration: number;
  readonly pods: readonly {
    readonly id: PodId;
    readonly ready: boolean;
    readonly ending: boolean;
  }[];
};

type RunningPod = { readonly pod: WishedPod; readonly readyAtMs: number; endsAtMs?: number };

export type Host = {
  readonly id: NodeId;
  on: boolean;
  /** Whether its agent runs; pods go on without it. */
  agent: boolean;
  link: boolean;
  /** Grows with each boot: what was said to an earlier one reaches nobody. */
  boot: number;
  /** Whether the api answered in this boot. */
  told: boolean;
  ledger: Wish;
  readonly running: Map<PodId, RunningPod>;
  reportAtMs: number;
  lastReport: string;
};

export function aHost(id: NodeId): Host {
  const now = { on: true, agent: true, link: true, boot: 0, told: false };
  return {
    id,
    ...now,
    ledger: { generation: 0, pods: [] },
    running: new Map(),
    reportAtMs: 0,
    lastReport: "",
  };
}

export function powerOff(host: Host): void {
  host.on = false;
  host.boot += 1;
  host.told = false;
  host.running.clear();
}

/** An answer of the api: never an older one than is known. */
export function take(host: Host, wish: Wish): void {
  host.told = true;
  if (wish.generation >= host.ledger.generation) host.ledger = wish;
}

/** What the agent does in a moment; answers its report, when one is due. */
export function live(host: Host, nowMs: number, random: Random): Report | undefined {
  for (const [id, it] of host.running)
    if ((it.endsAtMs ?? Infinity) <= nowMs) host.running.delete(id);
  if (!host.on || !host.agent) return undefined;
  const wanted = new Map(host.ledger.pods.map((pod) => [pod.id, pod]));
  for (const [id, it] of host.running)
    if (!wanted.has(id)) it.endsAtMs ??= nowMs + random.int(1, 15) * 1_000;
  for (const pod of wanted.values())
    if (!host.running.has(pod.id) && (host.told || !pod.exclusive))
      host.running.set(pod.id, { pod, readyAtMs: nowMs + random.int(1, 20) * 1_000 });
  return report(host, nowMs);
}

export function isReady({ pod, readyAtMs, endsAtMs }: RunningPod, nowMs: number): boolean {
  return pod.works && readyAtMs <= nowMs && endsAtMs === undefined;
}

function report(host: Host, nowMs: number): Report | undefined {
  const pods = [...host.running].map(([id, it]) => ({
    id,
    ready: isReady(it, nowMs),
    ending: it.endsAtMs !== undefined,
  }));
  const said = { node: host.id, observedGeneration: host.ledger.generation, pods };
  const text = JSON.stringify(said);
  if (text === host.lastReport && nowMs < host.reportAtMs) return undefined;
  host.lastReport = text;
  host.reportAtMs = nowMs + 10_000;
  return said;
}
