import { setTimeout as sleep } from "node:timers/promises";
import { PodId } from "../contract/ids.ts";
import { Pod } from "../contract/pod/pod.ts";
import type { PodNotes } from "./disk/pod-notes.ts";
import { readJson } from "./disk/read-json.ts";
import { type ContainerKind, rolesOf } from "./plan/kinds.ts";
import { ANNOTATIONS, LABELS, numberIn } from "./runtime/labels.ts";
import type {
  ContainerDetail,
  ContainerRow,
  ContainerState,
  Runtime,
  SandboxRow,
} from "./runtime/runtime.ts";

export type SeenContainer = {
  readonly id: string;
  readonly name: string;
  readonly kind: ContainerKind;
  readonly attempt: number;
  readonly state: ContainerState;
  /** Starts of this name in the pod before this one. */
  readonly restarts: number;
  /** Crashes in a row before this one. */
  readonly crashes: number;
  /** Of one with a postStart hook: whether that is known to have returned. */
  readonly postStarted: boolean;
  /** Known of running and ended ones. */
  readonly detail: ContainerDetail | undefined;
};

export type SeenSandbox = {
  readonly id: string;
  readonly pod: PodId;
  readonly fingerprint: string;
  /** False once its own process has ended: then the pod's is over, too. */
  readonly ready: boolean;
  /** It is dead, and the agent has begun to end what still ran in it. */
  readonly givenUp: boolean;
  readonly attempt: number;
  /** Sandboxes of this pod that died in a row before this one. */
  readonly deaths: number;
  readonly createdAtMs: number;
  readonly graceSeconds: number;
  /** What the pod was told when it was made; undefined where that was too long to be kept here. */
  readonly spec: Pod | undefined;
  readonly ip: string | undefined;
  /** The runtime lists it and does not tell all about it; what it left out is undefined. */
  readonly unclear: boolean;
  /** Newest start first. */
  readonly containers: readonly SeenContainer[];
};

/**
 * Everything of ours that the runtime holds, newest sandbox first. Throws rather than leave one out;
 * what cannot be learned of one makes that one unclear and no other.
 */
export type Observer = () => Promise<readonly SeenSandbox[]>;

const DEFAULT_GRACE_SECONDS = 30;
const KILLED = 137;
const JUST_NOW_MS = 1_000;
/** Long beside what lies between two messages of one runtime, and short beside a pass. */
const OOM_WORD_MS = 100;

/** Whoever only takes away need not know what the agent noted. */
const NO_NOTES: Pick<PodNotes, "has"> = { has: async () => false };

/**
 * Asks about each sandbox's address and each container's start and end once, since those stay.
 * `onUnclear` hears once of each one that the runtime does not tell about.
 */
export function openObserver(
  runtime: Runtime,
  onUnclear: (id: string, error: unknown) => void,
  notes = NO_NOTES,
): Observer {
  const unclear = new Set<string>();
  const ips = new Map<string, string>();
  const details = new Map<string, ContainerDetail>();
  const postStarted = new Set<string>();
  const specs = new Map<string, Pod | undefined>();

  function specOf(row: SandboxRow): Pod | undefined {
    if (!specs.has(row.id)) specs.set(row.id, podIn(row.annotations));
    return specs.get(row.id);
  }

  async function ipOf(row: SandboxRow): Promise<string | undefined> {
    if (!row.ready) return undefined;
    const ip = ips.get(row.id) ?? (await runtime.sandboxIp(row.id));
    if (ip !== undefined) ips.set(row.id, ip);
    return ip;
  }

  async function detailOf(row: ContainerRow): Promise<ContainerDetail | undefined> {
    if (row.state === "created") return undefined;
    const known = details.get(row.id);
    if (known?.state === row.state) return known;
    const detail = await explained(await runtime.containerDetail(row.id), row.id);
    details.set(row.id, detail);
    return detail;
  }

  async function isPostStarted(row: ContainerRow, pod: PodId, spec: Pod | undefined) {
    const isHookless = spec && !hookIn(spec, row.name);
    if (row.state !== "running" || isHookless || postStarted.has(row.id)) return true;
    const has = await notes.has(pod, `post-started/${row.name}`, row.id);
    if (has) postStarted.add(row.id);
    return has;
  }

  async function container(row: ContainerRow, pod: PodId, spec: Pod | undefined) {
    const known = Promise.all([detailOf(row), isPostStarted(row, pod, spec)]);
    const [detail, isStarted = false] = (await told(row.id, known)) ?? [];
    return seenContainer(row, detail, isStarted);
  }

  /** The word that memory was short may come after the end that it led to, which is told once. */
  async function explained(detail: ContainerDetail, id: string): Promise<ContainerDetail> {
    if (!isKilledJustNow(detail, Date.now())) return detail;
    await sleep(OOM_WORD_MS);
    return runtime.containerDetail(id);
  }

  async function told<T>(id: string, answer: Promise<T>): Promise<T | undefined> {
    try {
      const known = await answer;
      unclear.delete(id);
      return known;
    } catch (error) {
      if (!unclear.has(id)) onUnclear(id, error);
      unclear.add(id);
      return undefined;
    }
  }

  async function seen(row: SandboxRow, rows: readonly ContainerRow[]): Promise<SeenSandbox> {
    const base = seenSandbox(row);
    const spec = specOf(row);
    const known = Promise.all([ipOf(row), !row.ready && notes.has(base.pod, "given-up", row.id)]);
    const [about, ...containers] = await Promise.all([
      told(row.id, known),
      ...rows.map((it) => container(it, base.pod, spec)),
    ]);
    const [ip, givenUp = false] = about ?? [];
    return {
      ...base,
      spec,
      ip,
      givenUp,
      unclear: [row, ...rows].some((it) => unclear.has(it.id)),
      containers: containers.toSorted(newestFirst),
    };
  }

  return async () => {
    const { sandboxes, containers } = await runtime.list();
    forgetOthers(ips, sandboxes);
    forgetOthers(specs, sandboxes);
    forgetOthers(details, containers);
    forgetOthers(postStarted, containers);
    forgetOthers(unclear, [...sandboxes, ...containers]);
    const bySandbox = Map.groupBy(containers, (it) => it.sandboxId);
    const all = await Promise.all(sandboxes.map((row) => seen(row, bySandbox.get(row.id) ?? [])));
    return all.toSorted((a, b) => b.createdAtMs - a.createdAtMs || (a.id < b.id ? -1 : 1));
  };
}

function seenSandbox(
  row: SandboxRow,
): Omit<SeenSandbox, "spec" | "ip" | "givenUp" | "unclear" | "containers"> {
  return {
    id: row.id,
    pod: PodId.parse(row.labels[LABELS.pod]),
    fingerprint: row.labels[LABELS.fingerprint] ?? "",
    ready: row.ready,
    attempt: row.attempt,
    deaths: numberIn(row.annotations, ANNOTATIONS.deaths, 0),
    createdAtMs: row.createdAtMs,
    graceSeconds: numberIn(row.annotations, ANNOTATIONS.graceSeconds, DEFAULT_GRACE_SECONDS),
  };
}

/** A container that ended between the two questions counts as what the second one said. */
function seenContainer(
  row: ContainerRow,
  detail: ContainerDetail | undefined,
  postStarted: boolean,
): SeenContainer {
  return {
    id: row.id,
    name: row.name,
    kind: kindIn(row.annotations),
    attempt: row.attempt,
    state: detail?.state ?? row.state,
    restarts: numberIn(row.annotations, ANNOTATIONS.restarts, row.attempt),
    crashes: numberIn(row.annotations, ANNOTATIONS.crashes, 0),
    postStarted,
    detail,
  };
}

/** A Pod that this version of the agent cannot read counts as one that was not kept. */
function podIn(annotations: SandboxRow["annotations"]): Pod | undefined {
  const text = annotations[ANNOTATIONS.podSpec];
  return text === undefined ? undefined : readJson(Pod, text).value;
}

function hookIn({ spec }: Pod, name: string) {
  return rolesOf(spec).find((it) => it.container.name === name)?.container.lifecycle?.postStart;
}

function kindIn(annotations: ContainerRow["annotations"]): ContainerKind {
  const text = annotations[ANNOTATIONS.kind];
  return text === "init" || text === "sidecar" ? text : "main";
}

function isKilledJustNow(
  { state, exitCode, reason, finishedAtMs }: ContainerDetail,
  nowMs: number,
) {
  const isKilled = state === "exited" && exitCode === KILLED && reason !== "OOMKilled";
  return isKilled && nowMs - finishedAtMs < JUST_NOW_MS;
}

function newestFirst(a: SeenContainer, b: SeenContainer): number {
  return b.attempt - a.attempt;
}

type Known = { keys(): Iterable<string>; delete(id: string): boolean };

function forgetOthers(known: Known, rows: readonly { readonly id: string }[]) {
  const present = new Set(rows.map((it) => it.id));
  for (const id of known.keys()) if (!present.has(id)) known.delete(id);
}
