import type { Answer } from "../call-api.ts";
import type { ControlPlane } from "./control-plane.ts";

export type PodSeen = {
  readonly name: string;
  readonly node: string;
  readonly ready: boolean;
  readonly containers: readonly { readonly startedAt?: string; readonly restarts: number }[];
};

/** The spec of an app whose pods answer `<version> <pod> <node>`, each with its own. */
export function anApp(
  name: string,
  said: {
    readonly replicas?: number;
    readonly version?: string;
    readonly memory?: string;
    /** More fields of the app's spec, and of its pod's. */
    readonly spec?: object;
    readonly pod?: object;
  } = {},
): object {
  const field = (variable: string, fieldPath: string) => ({
    name: variable,
    valueFrom: { fieldRef: { fieldPath } },
  });
  const page = 'echo "$VERSION $POD $NODE" > /www/index.html; exec httpd -f -p 8080 -h /www';
  const memory = said.memory ?? "16Mi";
  const container = {
    name: "web",
    image: "busybox",
    command: ["sh", "-c", page],
    env: [
      { name: "VERSION", value: said.version ?? "one" },
      field("POD", "metadata.name"),
      field("NODE", "spec.nodeName"),
    ],
    ports: [{ containerPort: 8080 }],
    resources: { requests: { cpu: "10m", memory }, limits: { memory } },
    readinessProbe: { httpGet: { path: "/", port: 8080 }, periodSeconds: 1 },
  };
  const pod = { containers: [container], terminationGracePeriodSeconds: 1, ...said.pod };
  return { name, replicas: said.replicas ?? 1, pod, ...said.spec };
}

/** Declares it, and answers when it is healthy or has failed. */
export async function deploy({ call }: ControlPlane, spec: object): Promise<Answer> {
  const { name } = spec as { name: string };
  return await call("PUT", `/v1/apps/${name}?wait=healthy&timeout=60`, {
    body: JSON.stringify(spec),
    headers: { "content-type": "application/json" },
  });
}

/** Its pods as the api shows them, by node. */
export async function podsOf({ call }: ControlPlane, app: string): Promise<readonly PodSeen[]> {
  const { body } = await call("GET", `/v1/apps/${app}`);
  return (body.pods as PodSeen[]).toSorted((a, b) => (a.node < b.node ? -1 : 1));
}

/** Which starts of which pods these are: equal as long as nothing was restarted or replaced. */
export function startsOf(pods: readonly PodSeen[]): readonly string[] {
  return pods.flatMap(({ name, node, containers }) =>
    containers.map((it) => `${name} on ${node}, ${it.restarts} restarts, since ${it.startedAt}`),
  );
}
