import type { PodStatus } from "../../contract/node-protocol.ts";

/** Why a release's new pod will not become healthy, as far as what was seen of it proves that. */
export type Diagnosis = { readonly slug: string; readonly message: string };

/** Tomcat opens its port only when every web app has been started: a 404 after that is no passing state. */
const ANSWERS_404_PROVE = 5;
/** A page that fails may wait for something else (a database); it is given this many seconds. */
const ANSWERS_5XX_PROVE = 30;
const CRASHES_PROVE = 3;

const CONTEXT_FAILED =
  /startup failed due to previous errors|Error deploying web application|Parse error in application web\.xml|One or more listeners failed to start|One or more Filters failed to start/;

/** A diagnosis once what was seen is proof enough, else undefined: time alone decides elsewhere. */
export function diagnose(status: PodStatus): Diagnosis | undefined {
  if (status.ready) return undefined;
  return outOfMemory(status) ?? crashes(status) ?? answersWrong(status);
}

/** What to say of a pod that is simply not ready when its time is up. */
export function describeUnready(status: PodStatus | undefined): Diagnosis {
  if (!status) return { slug: "not-started", message: "its node has not started the pod" };
  const { probe } = status;
  const waiting = status.containers.find((it) => it.state === "waiting" && it.reason);
  if (waiting)
    return {
      slug: "not-started",
      message: [waiting.reason, waiting.message].filter(Boolean).join(": "),
    };
  if (probe?.status !== undefined)
    return { slug: "health-failed", message: `the health check answered ${probe.status}` };
  if (probe)
    return {
      slug: "nothing-listens",
      message: `nothing answers the health check: ${probe.excerpt ?? "no connection"}`,
    };
  return { slug: "not-ready", message: status.reason ?? "the pod did not become ready" };
}

function outOfMemory(status: PodStatus): Diagnosis | undefined {
  if (!status.containers.some((it) => it.reason === "OOMKilled")) return undefined;
  return {
    slug: "out-of-memory",
    message: "the kernel killed the app for using more than resources.memory; give it more",
  };
}

function crashes(status: PodStatus): Diagnosis | undefined {
  const crashed = status.containers.find((it) => it.restarts >= CRASHES_PROVE);
  if (!crashed) return undefined;
  const code =
    crashed.exitCode === undefined ? "" : `, the last time with exit code ${crashed.exitCode}`;
  return {
    slug: "app-crashes",
    message: `the app ended ${crashed.restarts + 1} times by itself${code}`,
  };
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
