import type { Probe } from "../../contract/pod/probe.ts";
import type { Answer } from "./answer.ts";

const EAGER_MS = 50;
const EAGER_FOR_MS = 30_000;
const PATIENT_MS = 1_000;

/**
 * When to ask again ahead of the probe's own pace, in ms from now, or undefined for not at all. A port
 * that nobody listens on costs nothing to ask, so until a container is ready it is asked often; a page
 * that answers, or a command, is asked at the probe's own pace. Pure.
 */
export function earlyPauseMs(
  probe: Probe,
  answer: Answer,
  { ready, ranMs }: { readonly ready: boolean; readonly ranMs: number },
): number | undefined {
  if (ready || answer.outcome !== "refused" || probe.exec) return undefined;
  const pauseMs = ranMs < EAGER_FOR_MS ? EAGER_MS : PATIENT_MS;
  return pauseMs < probe.periodSeconds * 1_000 ? pauseMs : undefined;
}
