import type { ContainerStatus, PodStatus, ProbeFailure } from "../../contract/node/protocol.ts";

/** Something that happened on a node between two sightings of a pod. */
export type Happening = {
  readonly type:
    | "container-restarted"
    | "pod-succeeded"
    | "pod-failed"
    | "probe-failing"
    | "probe-recovered"
    | "image-failing";
  readonly message: string;
};

const MESSAGE_CHARS = 1_000;
const PULL_FAILURES = new Set(["ErrImagePull", "ImagePullBackOff", "InvalidImageName"]);
/** Said of every end that went wrong, so they tell nothing beside the exit code. */
const PLAIN_ENDS = new Set(["Error", "Completed", "CrashLoopBackOff"]);

/**
 * What a pod's history should say of the change from one sighting to the next: once a change, however
 * often it is reported. Nothing of a pod that is on its way out. Pure.
 */
export function happeningsBetween(
  name: string,
  before: PodStatus | null,
  after: PodStatus,
): readonly Happening[] {
  if (after.phase === "Terminating") return [];
  const earlier = new Map(before?.containers.map((it) => [it.name, it]));
  const inContainers = after.containers.flatMap((it) => [
    ...restarted(name, earlier.get(it.name), it),
    ...pulling(name, earlier.get(it.name), it),
    ...(isOver(after) ? [] : probing(name, earlier.get(it.name), it)),
  ]);
  const all = [...inContainers, ...(isOver(after) && !isOver(before) ? [ended(name, after)] : [])];
  return all.map(({ type, message }) => ({ type, message: message.slice(0, MESSAGE_CHARS) }));
}

function isOver(status: PodStatus | null): boolean {
  return status?.phase === "Succeeded" || status?.phase === "Failed";
}

/** One a restart at most, so that a crash loop's events are as far apart as its back-off. */
function restarted(
  pod: string,
  before: ContainerStatus | undefined,
  after: ContainerStatus,
): readonly Happening[] {
  const times = after.restarts;
  if (times <= (before?.restarts ?? 0)) return [];
  const why = endWords(after) ?? (before && endWords(before));
  const count = times === 1 ? "once" : `${times} times`;
  const message = `container "${after.name}" of ${pod} was restarted, ${count} so far${why ? `: ${why}` : ""}`;
  return [{ type: "container-restarted", message }];
}

/** "OOMKilled, exit code 137"; undefined of a container that did not end. */
function endWords({ exitCode, signal, reason }: ContainerStatus): string | undefined {
  if (exitCode === undefined) return undefined;
  const code = `exit code ${exitCode}${signal === undefined ? "" : ` (signal ${signal})`}`;
  return reason === undefined || PLAIN_ENDS.has(reason) ? code : `${reason}, ${code}`;
}

function pulling(
  pod: string,
  before: ContainerStatus | undefined,
  after: ContainerStatus,
): readonly Happening[] {
  const fails = (it: ContainerStatus | undefined) => PULL_FAILURES.has(it?.reason ?? "");
  if (!fails(after) || fails(before)) return [];
  const message = `the image of container "${after.name}" of ${pod} cannot be pulled: ${after.message ?? after.reason}`;
  return [{ type: "image-failing", message }];
}

/** A container that runs, is not ready, and whose probes say why. */
function probing(
  pod: string,
  before: ContainerStatus | undefined,
  after: ContainerStatus,
): readonly Happening[] {
  const failed = failing(before) !== undefined;
  const failure = failing(after);
  if (failure && !failed) {
    const message = `the ${failure.probe} probe of container "${after.name}" of ${pod} fails: ${heard(failure)}`;
    return [{ type: "probe-failing", message }];
  }
  if (failed && after.ready) {
    const message = `the probes of container "${after.name}" of ${pod} are content again`;
    return [{ type: "probe-recovered", message }];
  }
  return [];
}

function failing(container: ContainerStatus | undefined): ProbeFailure | undefined {
  if (container?.state !== "running" || container.ready) return undefined;
  return container.probeFailures.at(-1);
}

function heard({ status, excerpt }: ProbeFailure): string {
  const words = excerpt.split("\n", 1)[0] ?? "";
  if (status === undefined) return words || "no answer";
  return words ? `${status} ${words}` : String(status);
}

function ended(pod: string, after: PodStatus): Happening {
  if (after.phase === "Succeeded") {
    return { type: "pod-succeeded", message: `${pod} ran to its end: every container succeeded` };
  }
  // One that was stopped with its pod counts as completed, whatever its exit code.
  const culprit = after.containers.find(
    ({ exitCode, reason }) => exitCode !== undefined && exitCode !== 0 && reason !== "Completed",
  );
  const why = culprit && `container "${culprit.name}" ended with ${endWords(culprit)}`;
  return {
    type: "pod-failed",
    message: `${pod} failed: ${why ?? after.reason ?? "for no reason that it told"}`,
  };
}
