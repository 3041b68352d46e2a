import type { PodId } from "../../../contract/ids.ts";
import type { Pod } from "../../../contract/pod/pod.ts";
import type { SeenContainer, SeenSandbox } from "../../../node-agent/observe.ts";
import type { Verdicts } from "../../../node-agent/plan/readiness.ts";
import type { ContainerStart, Step } from "../../../node-agent/plan/steps.ts";
import { aContainer, aSandbox, aVerdict } from "../../node-agent/a-world.ts";
import { fateOf } from "./declared.ts";
import type { Random } from "./random.ts";
import type { Timeline } from "./timeline.ts";

/** A host's power and runtime: what runs there is true, whoever knows of it. */
export type Machine = {
  readonly name: string;
  on: boolean;
  /** By how much its clock is wrong, in ms. */
  skewMs: number;
  /** Newest first. */
  sandboxes: readonly SeenSandbox[];
  /** Tells the agent, if there is one, that something is another than before. */
  onChange: () => void;
};

export function aMachine(name: string): Machine {
  return { name, on: true, skewMs: 0, sandboxes: [], onChange: () => {} };
}

/** The host goes down, and with it all that runs; its disk stays. */
export function powerOff(machine: Machine): void {
  machine.on = false;
  machine.sandboxes = machine.sandboxes.map((it) => ({
    ...it,
    ready: false,
    ip: undefined,
    containers: it.containers.map((c) => ended(c, 255, "Unknown", 0)),
  }));
}

export type Runs = { readonly pod: Pod; readonly sandbox: SeenSandbox };

/** Every sandbox in which something runs. */
export function running({ sandboxes }: Machine): readonly Runs[] {
  return sandboxes.flatMap((sandbox) =>
    sandbox.spec && sandbox.containers.some((it) => it.state === "running")
      ? [{ pod: sandbox.spec, sandbox }]
      : [],
  );
}

/** What the runtime does when it is told, and what containers do by themselves. */
export type Runtime = ReturnType<typeof openRuntime>;

export function openRuntime(machine: Machine, timeline: Timeline, random: Random) {
  const readyAtMs = new Map<string, number>();
  /** Sandboxes that are being taken away: no request reaches them any more. */
  const leaving = new Set<string>();
  let made = 0;

  const change = (id: string, next: (sandbox: SeenSandbox) => SeenSandbox) => {
    machine.sandboxes = machine.sandboxes.map((it) => (it.id === id ? next(it) : it));
  };

  function make({ uid, pod, fingerprint, attempt, deaths }: Step<"start-pod">): string {
    made += 1;
    const id = `${machine.name}-${uid}-${made}`;
    const createdAtMs = timeline.nowMs() + machine.skewMs;
    const its = { id, fingerprint, attempt, deaths, createdAtMs, containers: [] };
    machine.sandboxes = [aSandbox(pod, its), ...machine.sandboxes];
    return id;
  }

  /** Answers whether it runs: a sandbox that has died or gone takes none. */
  function start(sandbox: string, { container, attempt, restarts, crashes }: ContainerStart) {
    const into = machine.sandboxes.find((it) => it.id === sandbox && it.ready);
    if (!into?.spec) return false;
    const id = `${sandbox}-${container.name}-${attempt}`;
    const startedAtMs = timeline.nowMs() + machine.skewMs;
    const fresh = aContainer({ id, name: container.name, attempt, restarts, crashes });
    const detail = { ...EMPTY, state: "running", startedAtMs } as const;
    change(sandbox, (it) => ({ ...it, containers: [{ ...fresh, detail }, ...it.containers] }));
    lives(into.spec, id);
    return true;
  }

  function lives(pod: Pod, id: string): void {
    const fate = fateOf(pod);
    if (fate === "sick") return;
    const delayMs = !isProbed(pod) ? 0 : random.int(1, fate === "works" ? 20 : 4) * 1_000;
    if (fate === "works") readyAtMs.set(id, timeline.nowMs() + delayMs);
    timeline.after(delayMs, () => {
      if (fate === "crashes") end(id, 1);
      machine.onChange();
    });
  }

  function end(id: string, exitCode: number): void {
    readyAtMs.delete(id);
    machine.sandboxes = machine.sandboxes.map((it) => ({
      ...it,
      containers: it.containers.map((c) =>
        c.id === id ? ended(c, exitCode, "", timeline.nowMs() + machine.skewMs) : c,
      ),
    }));
  }

  function remove(sandbox: string): void {
    machine.sandboxes = machine.sandboxes.filter((it) => it.id !== sandbox);
  }

  function forget(containers: readonly string[]): void {
    machine.sandboxes = machine.sandboxes.map((it) => ({
      ...it,
      containers: it.containers.filter((c) => !containers.includes(c.id)),
    }));
  }

  const isReady = (container: SeenContainer) =>
    container.state === "running" &&
    (readyAtMs.get(container.id) ?? Number.POSITIVE_INFINITY) <= timeline.nowMs();

  /** What the probes have heard; nobody asks a container that has no probe. */
  function verdicts(seen: readonly SeenSandbox[]): Verdicts {
    return new Map(
      seen.flatMap(({ spec, containers }) =>
        spec && isProbed(spec)
          ? containers.map((it) => [it.id, aVerdict({ ready: isReady(it) })] as const)
          : [],
      ),
    );
  }

  /** The pods that serve, whatever is known of them. */
  function serving(): readonly PodId[] {
    return running(machine)
      .filter(({ sandbox }) => !leaving.has(sandbox.id) && sandbox.containers.some(isReady))
      .map(({ pod }) => pod.metadata.uid);
  }

  const leave = (sandbox: string) => void leaving.add(sandbox);
  return { make, start, end, leave, remove, forget, verdicts, serving };
}

function isProbed({ spec }: Pod): boolean {
  return spec.containers[0]?.readinessProbe !== undefined;
}

const EMPTY = { finishedAtMs: 0, exitCode: 0, reason: "", message: "" };

function ended(
  container: SeenContainer,
  exitCode: number,
  reason: string,
  finishedAtMs: number,
): SeenContainer {
  if (container.state !== "running") return container;
  const { startedAtMs = 0 } = container.detail ?? {};
  const detail = { state: "exited", startedAtMs, finishedAtMs, exitCode, reason, message: "" };
  return { ...container, state: "exited", detail: detail as SeenContainer["detail"] };
}
