import { expect, test } from "vitest";
import { parseAppSpec } from "../../contract/app/parse-app-spec.ts";

type Doc = Record<string, unknown>;
const web = (more: Doc = {}): Doc => ({ name: "web", image: "nginx", ...more });
const spec = (more: Doc = {}, container: Doc = {}): Doc => ({
  containers: [web(container)],
  ...more,
});
const volumes = (...names: string[]) => names.map((name) => ({ name, emptyDir: {} }));
const mounted = (...mounts: Doc[]) =>
  spec({ volumes: volumes("a", "b") }, { volumeMounts: mounts });
const port = (containerPort: number, more: Doc = {}) => ({ containerPort, ...more });
const probe = (more: Doc) =>
  spec({}, { ports: [port(80, { name: "http" })], readinessProbe: more });
const ANYTHING = { paths: ["/"], ports: [{ from: 1, to: 65_535 }] };

function errorsOf(pod: Doc, policy = ANYTHING): string[] {
  const parsed = parseAppSpec({ name: "shop", pod }, policy);
  return parsed.ok
    ? []
    : parsed.errors.map(({ pointer, message }) => `${pointer.replace(/^\/pod/, "")}: ${message}`);
}

test.each<[string, Doc, string]>([
  [
    "two containers of one name",
    { containers: [web(), web()] },
    '/containers/1/name: another container of this pod is named "web"',
  ],
  [
    "an init container named as a main one",
    spec({ initContainers: [web()] }),
    '/containers/0/name: another container of this pod is named "web"',
  ],
  [
    "two volumes of one name",
    spec({ volumes: volumes("a", "a") }),
    '/volumes/1/name: another volume of this pod is named "a"',
  ],
  [
    "a mount of no volume",
    mounted({ name: "c", mountPath: "/c" }),
    '/containers/0/volumeMounts/0/name: the pod declares no volume "c"; it declares a, b',
  ],
  [
    "two mounts at one place",
    mounted({ name: "a", mountPath: "/x/" }, { name: "b", mountPath: "//x" }),
    "/containers/0/volumeMounts/1/mountPath: another volume is mounted at /x already",
  ],
  ...[
    "/",
    "//",
    "/.",
    "/proc",
    "/proc/",
    "/proc/1/root",
    "/sys",
    "/sys/fs/cgroup",
    "/dev",
    "/dev/",
  ].map((mountPath): [string, Doc, string] => [
    `a mount at ${mountPath}`,
    mounted({ name: "a", mountPath }),
    "/containers/0/volumeMounts/0/mountPath: must not be",
  ]),
  ...["/etc/../x", "/.."].map((mountPath): [string, Doc, string] => [
    `a mount at ${mountPath}`,
    mounted({ name: "a", mountPath }),
    '/containers/0/volumeMounts/0/mountPath: must not have ".." in it',
  ]),
  ...["x", "", "./x", "/a:b"].map((mountPath): [string, Doc, string] => [
    `a mount at ${mountPath}`,
    mounted({ name: "a", mountPath }),
    "/containers/0/volumeMounts/0/mountPath: must be an absolute path without a colon",
  ]),
  ...["..", "../x", "a/../../b", "a/.."].map((subPath): [string, Doc, string] => [
    `the subPath ${subPath}`,
    mounted({ name: "a", mountPath: "/x", subPath }),
    '/containers/0/volumeMounts/0/subPath: must not have ".." in it',
  ]),
  [
    "an absolute subPath",
    mounted({ name: "a", mountPath: "/x", subPath: "/etc" }),
    "/containers/0/volumeMounts/0/subPath: must be relative to the volume's root",
  ],
  [
    "a volume of two sources",
    spec({ volumes: [{ name: "a", emptyDir: {}, secret: { secretName: "s" } }] }),
    "/volumes/0: needs exactly one of emptyDir, hostPath, secret, configMap, image and persistentVolumeClaim; it has emptyDir and secret",
  ],
  [
    "a volume of no source",
    spec({ volumes: [{ name: "a" }] }),
    "/volumes/0: needs exactly one of emptyDir",
  ],
  [
    "a hostPath that goes up",
    spec({ volumes: [{ name: "a", hostPath: { path: "/data/../etc" } }] }),
    '/volumes/0/hostPath/path: must not have ".." in it',
  ],
  ...["../x", "/x", "a//b", "a/", ".", "..data"].map((path): [string, Doc, string] => [
    `a secret's file ${path}`,
    spec({ volumes: [{ name: "a", secret: { secretName: "s", items: [{ key: "k", path }] } }] }),
    "/volumes/0/secret/items/0/path: must",
  ]),
  [
    "an env variable with a value and a source",
    spec(
      {},
      { env: [{ name: "A", value: "1", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } }] },
    ),
    "/containers/0/env/0: has a value or valueFrom, not both",
  ],
  [
    "an env variable of no source",
    spec({}, { env: [{ name: "A", valueFrom: {} }] }),
    "/containers/0/env/0/valueFrom: needs exactly one of secretKeyRef, configMapKeyRef and fieldRef",
  ],
  [
    "a probe that asks twice",
    probe({ httpGet: { port: 80 }, tcpSocket: { port: 80 } }),
    "/containers/0/readinessProbe: needs exactly one of httpGet, tcpSocket and exec; it has httpGet and tcpSocket",
  ],
  ["a probe that asks nothing", probe({}), "/containers/0/readinessProbe: needs exactly one of"],
  [
    "a probe of a port that has no such name",
    probe({ httpGet: { port: "web" } }),
    '/containers/0/readinessProbe/httpGet/port: no port of this container is named "web"',
  ],
  [
    "a hook that does two things",
    spec({}, { lifecycle: { preStop: { sleep: { seconds: 1 }, exec: { command: ["x"] } } } }),
    "/containers/0/lifecycle/preStop: needs exactly one of exec, httpGet and sleep",
  ],
  [
    "a hook of a port that has no such name",
    spec({}, { lifecycle: { postStart: { httpGet: { port: "web" } } } }),
    '/containers/0/lifecycle/postStart/httpGet/port: no port of this container is named "web"',
  ],
  ...["startupProbe", "livenessProbe"].map((name): [string, Doc, string] => [
    `a ${name} that has to succeed twice`,
    spec({}, { [name]: { exec: { command: ["x"] }, successThreshold: 2 } }),
    `/containers/0/${name}/successThreshold: must be 1 for this probe`,
  ]),
  ...["startupProbe", "readinessProbe", "livenessProbe"].map((name): [string, Doc, string] => [
    `a ${name} of an init container`,
    spec({ initContainers: [web({ name: "i", [name]: { exec: { command: ["x"] } } })] }),
    `/initContainers/0/${name}: an init container ends before the others start`,
  ]),
  [
    "a hook of an init container",
    spec({
      initContainers: [web({ name: "i", lifecycle: { preStop: { exec: { command: ["x"] } } } })],
    }),
    "/initContainers/0/lifecycle: an init container ends before the others start",
  ],
  [
    "two ports of one name",
    spec({}, { ports: [port(80, { name: "http" }), port(81, { name: "http" })] }),
    '/containers/0/ports/1/name: another port of this container is named "http"',
  ],
  [
    "one port twice",
    spec({}, { ports: [port(80), port(80, { protocol: "TCP" })] }),
    "/containers/0/ports/1/containerPort: TCP 80 stands here twice",
  ],
  [
    "one host port for two containers",
    {
      containers: [
        web({ ports: [port(80, { hostPort: 8080 })] }),
        web({ name: "b", ports: [port(81, { hostPort: 8080 })] }),
      ],
    },
    "/containers/1/ports/0/hostPort: the host's port TCP 8080 is asked for twice",
  ],
  ...(
    [
      ["cpu", "501m", "0.5"],
      ["memory", "1Gi", "1G"],
      ["memory", "1000000001", "1G"],
      ["cpu", 2, 1.5],
    ] as const
  ).map(([resource, request, limit]): [string, Doc, string] => [
    `a request of ${request} ${resource} above the limit ${limit}`,
    spec({}, { resources: { requests: { [resource]: request }, limits: { [resource]: limit } } }),
    `/containers/0/resources/requests/${resource}: must not be more than its limit, ${limit}`,
  ]),
  [
    "a label of Waybill's own",
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "shop", labels: { "waybill.dev/app": "other" } },
      spec: spec(),
    },
    "/metadata/labels/waybill.dev~1app: names below waybill.dev/ are Waybill's own",
  ],
])("%s is refused", (_what, pod, error) => {
  expect(errorsOf(pod)).toEqual([expect.stringContaining(error)]);
});

test.each<[string, Doc]>([
  ["a volume that nobody mounts", spec({ volumes: volumes("a") })],
  [
    "one volume at two places",
    mounted({ name: "a", mountPath: "/x" }, { name: "a", mountPath: "/y" }),
  ],
  ["a mount below /dev", mounted({ name: "a", mountPath: "/dev/shm" })],
  ["a mount that is named like a reserved place", mounted({ name: "a", mountPath: "/process" })],
  [
    "a subPath with dots in its names",
    mounted({ name: "a", mountPath: "/x", subPath: "..a/b..c" }),
  ],
  ["an env variable without a value", spec({}, { env: [{ name: "A" }] })],
  [
    "one port number of two protocols",
    spec({}, { ports: [port(53), port(53, { protocol: "UDP" })] }),
  ],
  [
    "one host port number of two protocols",
    spec(
      {},
      {
        ports: [port(53, { hostPort: 53 }), port(53, { hostPort: 53, protocol: "UDP" })],
      },
    ),
  ],
  [
    "a readiness probe that has to succeed twice",
    probe({ tcpSocket: { port: "http" }, successThreshold: 2 }),
  ],
  [
    "probes and hooks of a sidecar",
    spec({
      initContainers: [
        web({
          name: "s",
          restartPolicy: "Always",
          startupProbe: { exec: { command: ["true"] } },
          lifecycle: { preStop: { sleep: { seconds: 1 } } },
        }),
      ],
    }),
  ],
  [
    "a request that is its limit in other words",
    spec({}, { resources: { requests: { memory: "1G" }, limits: { memory: "1000M" } } }),
  ],
  ["a request without a limit", spec({}, { resources: { requests: { cpu: "4", memory: "8Gi" } } })],
])("%s is fine", (_what, pod) => {
  expect(errorsOf(pod)).toEqual([]);
});

test("what is wrong with fields and what is wrong between them is named together", () => {
  const pod = {
    containers: [
      web({ imge: "x", volumeMounts: [{ name: "gone", mountPath: "/proc" }] }),
      web({ livenessProbe: {}, resources: { requests: { cpu: "lots" } } }),
      "not a container",
    ],
    volumes: [{ name: "data", hostPath: { path: "/data" } }, 7],
    restartPolicy: "Sometimes",
  };

  expect(
    errorsOf(pod, { paths: [], ports: [] })
      .map((it) => it.split(":")[0])
      .sort(),
  ).toEqual([
    "/containers/0/imge",
    "/containers/0/volumeMounts/0/mountPath",
    "/containers/0/volumeMounts/0/name",
    "/containers/1/livenessProbe",
    "/containers/1/name",
    "/containers/1/resources/requests/cpu",
    "/containers/2",
    "/restartPolicy",
    "/volumes/0/hostPath/path",
    "/volumes/1",
  ]);
});

test("host paths and host ports are the operator's to allow, and the rule is named", () => {
  const pod = spec(
    {
      volumes: [
        { name: "a", hostPath: { path: "/data/a" } },
        { name: "b", hostPath: { path: "/etc" } },
      ],
    },
    { ports: [port(80, { hostPort: 9005 }), port(81, { hostPort: 80 })] },
  );
  const none = errorsOf(pod, { paths: [], ports: [] });
  const some = errorsOf(pod, {
    paths: ["/data"],
    ports: [
      { from: 8443, to: 8443 },
      { from: 9000, to: 9100 },
    ],
  });

  expect(none).toEqual([
    "/volumes/0/hostPath/path: host-paths: /data/a is not allowed; the operator allows: none",
    "/volumes/1/hostPath/path: host-paths: /etc is not allowed; the operator allows: none",
    "/containers/0/ports/0/hostPort: host-ports: 9005 is not allowed; the operator allows: none",
    "/containers/0/ports/1/hostPort: host-ports: 80 is not allowed; the operator allows: none",
  ]);
  expect(some).toEqual([
    "/volumes/1/hostPath/path: host-paths: /etc is not allowed; the operator allows: /data",
    "/containers/0/ports/1/hostPort: host-ports: 80 is not allowed; the operator allows: 8443, 9000-9100",
  ]);
});
