import { setTimeout as sleep } from "node:timers/promises";
import type { PodId } from "../../contract/ids.ts";
import { killCgroup, removeCgroup } from "../host/cgroups.ts";
import { removeMountedFolder } from "../host/volumes.ts";
import type { SeenSandbox } from "../observe.ts";
import type { Step } from "../plan/steps.ts";
import type { Hands } from "./act.ts";
import { allDone } from "./settled.ts";
import { stopToRemove } from "./stop.ts";

/** Requests that were under way when a pod left the routes get this long before SIGTERM. */
const DRAIN_MS = 10_000;
const LOOK_EVERY_MS = 100;

/**
 * The rows go last of all: while one is there the pod is seen. So nobody takes it for ended, and its end
 * is not forgotten half-way, before all that it had here is gone.
 */
export async function removeSandboxes(
  hands: Hands,
  { sandboxes, whole, uid }: Pick<Step<"remove-sandboxes">, "sandboxes" | "whole" | "uid">,
): Promise<void> {
  await allDone(
    sandboxes.map(async (it) => {
      await quieten(hands, it);
      await hands.runtime.stopSandbox(it.id);
    }),
  );
  if (whole) await removeBelongings(hands, uid);
  await allDone(sandboxes.map(({ id }) => hands.runtime.removeSandbox(id)));
}

/**
 * The end is written down before anything is touched: an agent that is killed here must not leave a
 * finished pod that looks like one to start again.
 */
export async function endPod(
  hands: Hands,
  { sandboxes, outcome, uid }: Step<"end-pod">,
): Promise<void> {
  await hands.outcomes.record(outcome);
  await removeSandboxes(hands, { sandboxes, whole: true, uid });
}

/** Out of the routes, then the end of the requests that are under way, then SIGTERM. */
async function quieten(hands: Hands, sandbox: SeenSandbox): Promise<void> {
  const { ip } = sandbox;
  const isRunning = sandbox.containers.some((it) => it.state === "running");
  if (isRunning && ip !== undefined && hands.routed(ip)) {
    await answered(hands, await hands.withdrawn(ip));
  }
  await stopToRemove(hands.runtime, sandbox);
}

/** A request that Caddy was just about to send has its connection by the second look. */
async function answered(hands: Hands, addresses: readonly string[]): Promise<void> {
  const endMs = performance.now() + DRAIN_MS;
  for (let quiet = 0; quiet < 2 && performance.now() < endMs; ) {
    await sleep(LOOK_EVERY_MS);
    quiet = (await hands.connectionsTo(addresses)) === 0 ? quiet + 1 : 0;
  }
}

/**
 * What a pod had on this host, but for its logs, which are read after it. Its containers have ended: what
 * still runs in its group is of a start that was cut off, and nobody else ends that.
 */
async function removeBelongings({ places }: Hands, uid: PodId): Promise<void> {
  await killCgroup(places.podCgroup(uid));
  await removeMountedFolder(places.podDir(uid));
  await removeCgroup(places.podCgroup(uid));
}
