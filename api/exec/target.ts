import type { FieldError } from "../../contract/problem.ts";
import { Problem } from "../../contract/problem.ts";
import type { ExecCandidate } from "../../db/streams/execs.ts";

/** What a person says about where a command is to run. */
export type ExecPlace = {
  readonly pod?: string | undefined;
  readonly container?: string | undefined;
};

export type ExecTarget = { readonly candidate: ExecCandidate; readonly container: string };

/**
 * The container that is meant: of the named pod, else of a ready one of the live release, else of
 * any that runs; the named container, else the pod's first. A Problem says why there is none. Pure.
 */
export function execTarget(
  app: string,
  candidates: readonly ExecCandidate[],
  place: ExecPlace,
): ExecTarget {
  const candidate = chosenPod(app, candidates, place.pod);
  const { containers, initContainers = [] } = candidate.spec.spec;
  const names = [...containers, ...initContainers].map((it) => it.name);
  const container = place.container ?? names[0] ?? "";
  if (!names.includes(container)) {
    throw execInvalid([
      {
        pointer: "/container",
        message: `${candidate.name} has no container "${container}"; it has ${names.join(", ")}`,
      },
    ]);
  }
  const seen = candidate.status?.containers.find((it) => it.name === container);
  if (seen?.state === "running") return { candidate, container };
  const state = seen ? `${seen.state}${seen.reason ? ` (${seen.reason})` : ""}` : "not seen yet";
  throw notRunning(`The container ${container} of ${candidate.name} is ${state}.`);
}

export function execInvalid(errors: readonly FieldError[]): Problem {
  return new Problem("exec-invalid", "The command does not validate; nothing was run.", {
    extras: { errors },
  });
}

function chosenPod(
  app: string,
  candidates: readonly ExecCandidate[],
  named: string | undefined,
): ExecCandidate {
  if (named !== undefined) {
    const found = candidates.find((it) => it.name === named || it.pod === named);
    if (found) return found;
    const known = candidates.map((it) => it.name).join(", ") || "none";
    throw execInvalid([
      { pointer: "/pod", message: `${app} has no pod "${named}" now; it has ${known}` },
    ]);
  }
  const running = candidates.filter(({ status }) => status?.phase === "Running");
  const ready = running.filter(({ status }) => status?.ready === true);
  const found = ready.find((it) => it.live) ?? ready[0] ?? running[0];
  if (found) return found;
  if (candidates.length === 0) throw notRunning(`${app} has no pod now.`);
  const states = candidates.map(({ name, status }) => `${name} is ${status?.phase ?? "not seen"}`);
  throw notRunning(`No pod of ${app} runs now: ${states.slice(0, 5).join(", ")}.`);
}

function notRunning(detail: string): Problem {
  return new Problem("pod-not-running", detail);
}
