import type { AppSpec } from "../../contract/app-spec.ts";
import type { Digest, PodId } from "../../contract/ids.ts";
import { REGISTRY_NAME } from "../../contract/node-protocol.ts";
import { type Container, POD_LABELS, Pod, type Volume } from "../../contract/pod.ts";
import { bytes, cpuMillis } from "../../contract/units.ts";
import { HTTP_PORT, RUN_AS, WRITABLE_PATHS } from "../build/recipe/tomcat-war.ts";
import { javaOptionsText, jvmBudget } from "./jvm.ts";
import type { Amounts } from "./world.ts";

export type PodRequest = {
  readonly id: PodId;
  readonly project: string;
  readonly release: number;
  readonly spec: AppSpec;
  readonly imageRepository: string;
  readonly imageDigest: Digest;
};

/** Tomcat's own start, at the slowest: seconds until a pod that answers nothing is started again. */
const STARTUP_SECONDS = 120;
const GRACE_SECONDS = 30;
const SCRATCH_SIZE = "64Mi";

/** What one pod of an app with this spec asks of a node: requests equal limits for memory. */
export function requestsOf(spec: AppSpec): Amounts {
  return {
    cpuMillis: cpuMillis(spec.resources.cpu) ?? 0,
    memoryBytes: bytes(spec.resources.memory) ?? 0,
    pods: 1,
  };
}

/** The Kubernetes Pod that runs one replica of a release. Pure: all of it comes from the frozen release. */
export function podOf(request: PodRequest): Pod {
  const { id, spec, project, release } = request;
  return Pod.parse({
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: `${spec.name}-${release}-${id.slice(0, 5)}`,
      uid: id,
      labels: {
        [POD_LABELS.app]: spec.name,
        [POD_LABELS.project]: project,
        [POD_LABELS.release]: String(release),
      },
    },
    spec: {
      containers: [tomcatContainer(request)],
      volumes: WRITABLE_PATHS.map(scratchVolume),
      terminationGracePeriodSeconds: GRACE_SECONDS,
      hostname: spec.name,
    },
  });
}

function tomcatContainer({ spec, imageRepository, imageDigest }: PodRequest): Container {
  const httpGet = { path: spec.http.health?.path ?? spec.war.contextPath, port: HTTP_PORT };
  const { cpu, memory } = spec.resources;
  return {
    name: "tomcat",
    image: `${REGISTRY_NAME}/${imageRepository}@${imageDigest}`,
    env: Object.entries(environment(spec)).map(([name, value]) => ({ name, value })),
    ports: [{ name: "http", containerPort: HTTP_PORT }],
    resources: { requests: { cpu, memory }, limits: { memory } },
    startupProbe: {
      httpGet,
      periodSeconds: 1,
      timeoutSeconds: 10,
      failureThreshold: STARTUP_SECONDS,
      successThreshold: 1,
    },
    readinessProbe: {
      httpGet,
      periodSeconds: 5,
      timeoutSeconds: 5,
      failureThreshold: 3,
      successThreshold: 1,
    },
    securityContext: {
      runAsUser: RUN_AS.user,
      runAsGroup: RUN_AS.group,
      runAsNonRoot: true,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
    },
    volumeMounts: WRITABLE_PATHS.map((mountPath, at) => ({ name: volumeName(at), mountPath })),
  };
}

/** The app's own JDK_JAVA_OPTIONS come last, since the JVM lets the last of two options win. */
function environment(spec: AppSpec): Readonly<Record<string, string>> {
  const budget = javaOptionsText([
    ...jvmBudget(bytes(spec.resources.memory) ?? 0),
    ...spec.tomcat.options,
  ]);
  const { JDK_JAVA_OPTIONS: own } = spec.env;
  return { ...spec.env, JDK_JAVA_OPTIONS: own === undefined ? budget : `${budget} ${own}` };
}

function scratchVolume(_path: string, at: number): Volume {
  return { name: volumeName(at), emptyDir: { medium: "Memory", sizeLimit: SCRATCH_SIZE } };
}

function volumeName(at: number): string {
  return `scratch-${at}`;
}
