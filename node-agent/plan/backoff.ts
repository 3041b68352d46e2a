import { backoffMs } from "../../kit/backoff.ts";
import type { SeenContainer, SeenSandbox } from "../observe.ts";
import type { Step } from "./steps.ts";

/** A step that failed, `failures` times in a row. */
export type Setback = {
  readonly of: Step["do"];
  readonly failures: number;
  readonly atMs: number;
  readonly reason: string;
  readonly message: string;
};

const CRASH_BACKOFF = { minMs: 1_000, maxMs: 300_000 };
const SETBACK_BACKOFF = { minMs: 500, maxMs: 30_000 };
/** What ran for so long is not in a crash loop. */
const HEALTHY_RUN_MS = 600_000;
/** What the runtime's clock and ours may differ by while nobody has set either. */
const CLOCKS_APART_MS = 1_000;

/** When an ended container is to be started again, in ms since the epoch. Pure, like all of these. */
export function restartAtMs(container: SeenContainer, nowMs: number): number {
  const pauseMs = backoffMs(crashesInARow(container), CRASH_BACKOFF);
  return after(container.detail?.finishedAtMs ?? 0, pauseMs, nowMs);
}

/** Crashes in a row before this start of a container, unless it then ran well. */
export function crashesInARow({ crashes, detail }: SeenContainer): number {
  const ranMs = detail ? detail.finishedAtMs - detail.startedAtMs : 0;
  return ranMs >= HEALTHY_RUN_MS ? 0 : crashes;
}

/** When a pod whose sandbox has died is to get another one, in ms since the epoch. */
export function renewAtMs(sandbox: SeenSandbox, nowMs: number): number {
  return after(diedAtMs(sandbox), backoffMs(deathsInARow(sandbox), CRASH_BACKOFF), nowMs);
}

/** Deaths in a row before this sandbox, unless it then lived well. */
export function deathsInARow(sandbox: SeenSandbox): number {
  return diedAtMs(sandbox) - sandbox.createdAtMs >= HEALTHY_RUN_MS ? 0 : sandbox.deaths;
}

/** When a step that failed is to be tried again, in ms since the epoch. */
export function retryAtMs({ atMs, failures }: Setback, nowMs: number): number {
  return after(atMs, backoffMs(failures - 1, SETBACK_BACKOFF), nowMs);
}

/**
 * The end of a pause. What is said to have happened in the future happened before the clock was set
 * back, nobody knows when: a pause too short once does less harm than one that takes hours.
 */
function after(sinceMs: number, pauseMs: number, nowMs: number): number {
  return sinceMs > nowMs + CLOCKS_APART_MS ? nowMs : sinceMs + pauseMs;
}

/** No runtime tells when a sandbox died; its containers ended with it, or were not there yet. */
function diedAtMs({ createdAtMs, containers }: SeenSandbox): number {
  return Math.max(createdAtMs, ...containers.map((it) => it.detail?.finishedAtMs ?? 0));
}
