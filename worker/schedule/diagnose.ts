import type { ContainerStatus, PodStatus } from "../../contract/node/protocol.ts";
import type { ReleaseView } from "./world.ts";

/** Why a release's new pod will not become healthy, as far as what was seen of it proves that. */
export type Diagnosis = { readonly slug: string; readonly message: string };

/** What the pods of a release are, as far as it decides what proves something about them. */
export type Nature = Pick<ReleaseView, "source" | "restartPolicy">;

/** Tomcat opens its port only when every web app has been started: a 404 after that is no passing state. */
const ANSWERS_404_PROVE = 5;
/** A page that fails may wait for something else (a database); it is given this many seconds. */
const ANSWERS_5XX_PROVE = 30;
const CRASHES_PROVE = 3;

const CONTEXT_FAILED =
  /startup failed due to previous errors|Error deploying web application|Parse error in application web\.xml|One or more listeners failed to start|One or more Filters failed to start/;

/** A diagnosis once what was seen is proof enough, else undefined: time alone decides elsewhere. */
export function diagnose(status: PodStatus, nature: Nature): Diagnosis | undefined {
  if (status.ready || status.phase === "Succeeded") return undefined;
  return (
    outOfMemory(status, nature) ??
    failed(status, nature) ??
    crashes(status) ??
    (nature.source === "war" ? answersWrong(status) : undefined)
  );
}

/** The container of a pod in words: by its name where there are others. */
export function called({ containers }: PodStatus, { kind, name }: ContainerStatus): string {
  if (containers.length === 1) return "the app";
  const words = { init: "the init container", sidecar: "the sidecar", main: "the container" };
  return `${words[kind]} "${name}"`;
}

function outOfMemory(status: PodStatus, { source }: Nature): Diagnosis | undefined {
  const killed = status.containers.find((it) => it.reason === "OOMKilled" && !it.ready);
  if (!killed) return undefined;
  const field = source === "pod" ? "resources.limits.memory" : "resources.memory";
  return {
    slug: "out-of-memory",
    message: `the kernel killed ${called(status, killed)} for using more than ${field}; give it more`,
  };
}

/** What ended badly and is not started again. */
function failed(status: PodStatus, { restartPolicy }: Nature): Diagnosis | undefined {
  const isOver = status.phase === "Failed" || restartPolicy === "Never";
  const guilty = status.containers.find(
    (it) => isOver && it.kind !== "sidecar" && it.state === "exited" && (it.exitCode ?? 0) !== 0,
  );
  if (guilty) return { slug: "pod-failed", message: `${called(status, guilty)} ${end(guilty)}` };
  if (status.phase !== "Failed") return undefined;
  return { slug: "pod-failed", message: status.reason ?? "the pod failed" };
}

function crashes(status: PodStatus): Diagnosis | undefined {
  const crashed = status.containers.find((it) => it.restarts >= CRASHES_PROVE && !it.ready);
  if (!crashed) return undefined;
  const code =
    crashed.exitCode === undefined ? "" : `, the last time with exit code ${crashed.exitCode}`;
  const probe = stoppedFor(crashed);
  const cause = probe === undefined ? "by itself" : `because its ${probe} probe failed`;
  return {
    slug: "app-crashes",
    message: `${called(status, crashed)} ended ${crashed.restarts + 1} times ${cause}${code}`,
  };
}

/** The probe for whose failures the agent stopped a container: such an end is by SIGTERM or SIGKILL. */
function stoppedFor({ exitCode, probeFailures }: ContainerStatus): string | undefined {
  const last = probeFailures.findLast((it) => it.probe !== "readiness");
  return exitCode === 137 || exitCode === 143 ? last?.probe : undefined;
}

/** "ended with exit code 1", with the reason where that says more. */
export function end({ exitCode, reason }: ContainerStatus): string {
  const more = reason === undefined || reason === "Error" ? "" : ` (${reason})`;
  return `ended with exit code ${exitCode}${more}`;
}

function answersWrong({ probe, logTail }: PodStatus): Diagnosis | undefined {
  if (probe?.status === undefined) return undefined;
  if (probe.status === 404 && probe.times >= ANSWERS_404_PROVE) {
    const line = logTail.find((it) => CONTEXT_FAILED.test(it));
    return line
      ? { slug: "war-start-failed", message: `Tomcat could not start the web app: ${line.trim()}` }
      : {
          slug: "health-not-found",
          message:
            "the app is up and its health path answers 404; set http.health.path to a page that the app has, or check war.contextPath",
        };
  }
  if (probe.status >= 500 && probe.times >= ANSWERS_5XX_PROVE) {
    return { slug: "health-failed", message: `the health check goes on answering ${probe.status}` };
  }
  return undefined;
}
