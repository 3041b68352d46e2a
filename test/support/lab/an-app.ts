import type { Answer } from "../call-api.ts";
import type { ControlPlane } from "./control-plane.ts";

export type PodSeen = {
  readonly name: string;
  readonly node: string;
  readonly ready: boolean;
  readonly containers: readonly { readonly startedAt?: string; readonly restarts: number }[];
};

/** Where a pod of `anApp` takes a POST, and answers how many bytes came, and the same words. */
export const TELLS_SIZE = "/cgi-bin/size";
/** Where it answers `<X-Forwarded-For> [<Proxy-Authorization>] <node>`, as it was told the first two. */
export const TELLS_WHO = "/cgi-bin/who";

/**
 * The spec of an app whose pods answer `<version> <pod> <node>`, each with its own. Its server has
 * no handler for SIGTERM, so that it ends by SIGKILL when the pod's grace is over, with all requests in it.
 */
export function anApp(
  name: string,
  said: {
    readonly replicas?: number;
    readonly version?: string;
    readonly memory?: string;
    /** For how long it answers 404 before it is ready, as a server does that loads its pages. */
    readonly warmUpSeconds?: number;
    /** More fields of the app's spec, and of its pod's. */
    readonly spec?: object;
    readonly pod?: object;
  } = {},
): object {
  const field = (variable: string, fieldPath: string) => ({
    name: variable,
    valueFrom: { fieldRef: { fieldPath } },
  });
  const memory = said.memory ?? "16Mi";
  const container = {
    name: "web",
    image: "busybox",
    command: ["sh", "-c", START],
    env: [
      { name: "VERSION", value: said.version ?? "one" },
      { name: "WARM_UP", value: String(said.warmUpSeconds ?? 0) },
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

const START = `
mkdir -p /www/cgi-bin
rm -f /www/index.html
warm_up() {
  sleep "$WARM_UP"
  cat > /www${TELLS_SIZE} <<'END'
#!/bin/sh
size=$(wc -c)
printf 'Content-type: text/plain\\n\\n%s' "$size $VERSION $POD $NODE"
END
  cat > /www${TELLS_WHO} <<'END'
#!/bin/sh
echo "Content-type: text/plain

$HTTP_X_FORWARDED_FOR [$HTTP_PROXY_AUTHORIZATION] $NODE"
END
  chmod +x /www/cgi-bin/*
  echo "$VERSION $POD $NODE" > /www/index.html
}
if [ "$WARM_UP" = 0 ]; then warm_up; else warm_up & fi
exec httpd -f -p 8080 -h /www`;

/** Declares it, and answers when it is healthy or has failed, unless it is told not to wait. */
export async function deploy(
  { call }: ControlPlane,
  spec: object,
  query = "?wait=healthy&timeout=60",
): Promise<Answer> {
  const { name } = spec as { name: string };
  return await call("PUT", `/v1/apps/${name}${query}`, {
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
