import type { WarAppSpec } from "../../contract/app/app-spec.ts";
import { bytes } from "../../contract/document/units.ts";
import { REGISTRY_NAME } from "../../contract/node/protocol.ts";
import { HTTP_PORT, RUN_AS, WRITABLE_PATHS } from "../build/recipe/tomcat-war.ts";
import type { ContainerInput, FrozenRelease, PodDraft } from "./frozen.ts";
import { javaOptionsText, jvmBudget } from "./jvm.ts";

/** Tomcat's own start, at the slowest: seconds until a pod that answers nothing is started again. */
const STARTUP_SECONDS = 120;
const GRACE_SECONDS = 30;
const SCRATCH_SIZE = "64Mi";

/** A Tomcat with the web app, asked by HTTP whether it answers. */
export function podOfWar(release: FrozenRelease<WarAppSpec>): PodDraft {
  return {
    labels: {},
    annotations: {},
    spec: {
      containers: [tomcatContainer(release)],
      volumes: WRITABLE_PATHS.map((_, at) => ({
        name: volumeName(at),
        emptyDir: { medium: "Memory", sizeLimit: SCRATCH_SIZE },
      })),
      terminationGracePeriodSeconds: GRACE_SECONDS,
    },
  };
}

function tomcatContainer({
  spec,
  imageRepository,
  imageDigest,
}: FrozenRelease<WarAppSpec>): ContainerInput {
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
    },
    readinessProbe: { httpGet, periodSeconds: 5, timeoutSeconds: 5, failureThreshold: 3 },
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
function environment(spec: WarAppSpec): Readonly<Record<string, string>> {
  const budget = javaOptionsText([
    ...jvmBudget(bytes(spec.resources.memory) ?? 0),
    ...spec.tomcat.options,
  ]);
  const { JDK_JAVA_OPTIONS: own } = spec.env;
  return { ...spec.env, JDK_JAVA_OPTIONS: own === undefined ? budget : `${budget} ${own}` };
}

function volumeName(at: number): string {
  return `scratch-${at}`;
}
