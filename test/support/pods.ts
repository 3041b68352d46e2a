import { randomUUID } from "node:crypto";
import { Route } from "../../contract/node/protocol.ts";
import { Pod } from "../../contract/pod/pod.ts";

export const A_DIGEST = `sha256:${"a".repeat(64)}`;

/** A pod of one container with good defaults; what a test is about, it says. */
export function aPod(
  said: {
    readonly uid?: string;
    readonly name?: string;
    readonly image?: string;
    readonly args?: readonly string[];
    readonly command?: readonly string[];
    readonly memory?: string;
    readonly path?: string;
    readonly volumes?: readonly string[];
    readonly grace?: number;
    readonly container?: object;
    /** Fields of the spec, and labels beside the app's. */
    readonly spec?: object;
    readonly labels?: Readonly<Record<string, string>>;
  } = {},
): Pod {
  const probe = { httpGet: { path: said.path ?? "/", port: 8080 }, periodSeconds: 1 };
  return Pod.parse({
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: said.name ?? "web-1",
      uid: said.uid ?? randomUUID(),
      labels: { "waybill.dev/app": "web", ...said.labels },
    },
    spec: {
      containers: [
        {
          name: "web",
          image: said.image ?? `waybill.internal/apps/web@${A_DIGEST}`,
          ...(said.command && { command: said.command }),
          ...(said.args && { args: said.args }),
          ports: [{ containerPort: 8080 }],
          resources: {
            requests: { cpu: "100m", memory: said.memory ?? "64Mi" },
            limits: { memory: said.memory ?? "64Mi" },
          },
          readinessProbe: probe,
          volumeMounts: (said.volumes ?? []).map((name) => ({ name, mountPath: `/${name}` })),
          ...said.container,
        },
      ],
      volumes: (said.volumes ?? []).map((name) => ({
        name,
        emptyDir: { medium: "Memory", sizeLimit: "1Mi" },
      })),
      terminationGracePeriodSeconds: said.grace ?? 1,
      ...said.spec,
    },
  });
}

export function aRoute(pods: readonly Pod[], host = "web.localhost") {
  const uids = pods.map((it) => it.metadata.uid);
  return Route.parse({ app: "web", hosts: [host], port: 8080, pods: uids });
}
