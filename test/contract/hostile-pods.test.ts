import fc from "fast-check";
import { expect, test } from "vitest";
import { parseAppSpec } from "../../contract/app/parse-app-spec.ts";
import { canonicalJson } from "../../contract/pod/pod.ts";

type Doc = Record<string, unknown>;
const web = (more: Doc = {}): Doc => ({ name: "web", image: "nginx", ...more });
const document = (spec: Doc, metadata: Doc = {}, more: Doc = {}): Doc => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "shop", ...metadata },
  spec: { containers: [web()], ...spec },
  ...more,
});
const withContainer = (more: Doc) => document({ containers: [web(more)] });
const withVolume = (more: Doc) => document({ volumes: [{ name: "a", ...more }] });
const secure = (more: Doc) => withContainer({ securityContext: more });
const annotated = (name: string) => document({}, { annotations: { [name]: "x" } });
const probed = (httpGet: Doc) =>
  withContainer({ readinessProbe: { httpGet: { port: 80, ...httpGet } } });
const mounted = (mount: Doc) =>
  document({
    containers: [web({ volumeMounts: [{ name: "a", mountPath: "/a", ...mount }] })],
    volumes: [{ name: "a", emptyDir: {} }],
  });

function errorsOf(value: unknown): string[] {
  const parsed = parseAppSpec(value, { paths: [], ports: [] });
  return parsed.ok ? [] : parsed.errors.map(({ pointer, message }) => `${pointer}: ${message}`);
}

test.each<[string, Doc, string]>([
  // Rows 75 to 81 of the project's list of hostile input.
  ...["hostNetwork", "hostPID", "hostIPC"].map((name): [string, Doc, string] => [
    name,
    document({ [name]: true }),
    `/spec/${name}: not taken: no pod shares the host's namespaces`,
  ]),
  ["hostUsers", document({ hostUsers: true }), "/spec/hostUsers: not taken"],
  [
    "a privileged container",
    secure({ privileged: true }),
    "/spec/containers/0/securityContext/privileged: no container here is privileged",
  ],
  [
    "an unmasked /proc",
    secure({ procMount: "Unmasked" }),
    "/spec/containers/0/securityContext/procMount: not taken: /proc is masked",
  ],
  ...["SYS_ADMIN", "NET_RAW", "ALL"].map((capability): [string, Doc, string] => [
    `the capability ${capability}`,
    secure({ capabilities: { add: [capability] } }),
    "/spec/containers/0/securityContext/capabilities/add/0: only NET_BIND_SERVICE may be added",
  ]),
  [
    "more rights",
    secure({ allowPrivilegeEscalation: true }),
    "/spec/containers/0/securityContext/allowPrivilegeEscalation: no container here gains",
  ],
  [
    "no seccomp",
    secure({ seccompProfile: { type: "Unconfined" } }),
    '/spec/containers/0/securityContext/seccompProfile/type: must be "RuntimeDefault"',
  ],
  [
    "a seccomp profile of the node's disk",
    secure({ seccompProfile: { type: "Localhost" } }),
    "/spec/containers/0/securityContext/seccompProfile/type: ",
  ],
  [
    "AppArmor unconfined",
    secure({ appArmorProfile: { type: "Unconfined" } }),
    "/spec/containers/0/securityContext/appArmorProfile: not taken",
  ],
  [
    "SELinux options",
    secure({ seLinuxOptions: { type: "spc_t" } }),
    "/spec/containers/0/securityContext/seLinuxOptions: not taken",
  ],
  [
    "sysctls",
    document({ securityContext: { sysctls: [{ name: "kernel.msgmax", value: "1" }] } }),
    "/spec/securityContext/sysctls: not taken",
  ],
  [
    "a subPathExpr",
    mounted({ subPathExpr: "$(HOME)" }),
    "/spec/containers/0/volumeMounts/0/subPathExpr: not taken",
  ],
  [
    "mount propagation",
    mounted({ mountPropagation: "Bidirectional" }),
    "mountPropagation: not taken",
  ],
  [
    "more than 200 mounts",
    document({
      containers: [
        web({
          volumeMounts: Array.from({ length: 201 }, (_, at) => ({
            name: "a",
            mountPath: `/a/${at}`,
          })),
        }),
      ],
      volumes: [{ name: "a", emptyDir: {} }],
    }),
    "/spec/containers/0/volumeMounts: must have at most 200 entries",
  ],
  [
    "ephemeral containers",
    document({ ephemeralContainers: [] }),
    "/spec/ephemeralContainers: not taken: a command runs in a container through POST",
  ],
  [
    "fifty containers",
    document({ containers: Array.from({ length: 50 }, (_, at) => web({ name: `c${at}` })) }),
    "/spec/containers: must have at most 32 entries",
  ],
  ...[0, -1, 65_536, 70_000, 1.5, "80"].map((containerPort): [string, Doc, string] => [
    `the port ${JSON.stringify(containerPort)}`,
    withContainer({ ports: [{ containerPort }] }),
    "/spec/containers/0/ports/0/containerPort: ",
  ]),
  [
    "a host port",
    withContainer({ ports: [{ containerPort: 80, hostPort: 80 }] }),
    "/spec/containers/0/ports/0/hostPort: host-ports: 80 is not allowed",
  ],
  [
    "a host port of one address",
    withContainer({ ports: [{ containerPort: 80, hostIP: "127.0.0.1" }] }),
    "/spec/containers/0/ports/0/hostIP: not taken",
  ],
  [
    "a probe of another host",
    probed({ host: "169.254.169.254" }),
    "/spec/containers/0/readinessProbe/httpGet/host: not taken: only the pod's own address",
  ],
  [
    "a probe in TLS",
    probed({ scheme: "HTTPS" }),
    "/spec/containers/0/readinessProbe/httpGet/scheme: not taken",
  ],
  [
    "a probe that goes astray",
    probed({ path: "//evil\r\nHost: x" }),
    "/spec/containers/0/readinessProbe/httpGet/path: ",
  ],
  [
    "a header within a header",
    probed({ httpHeaders: [{ name: "A", value: "b\r\nC: d" }] }),
    "/spec/containers/0/readinessProbe/httpGet/httpHeaders/0/value: ",
  ],
  ...(
    [
      ["nodeName", "other"],
      ["tolerations", [{ operator: "Exists" }]],
      ["priorityClassName", "system-node-critical"],
      ["serviceAccountName", "admin"],
      ["automountServiceAccountToken", true],
      ["imagePullSecrets", [{ name: "theirs" }]],
      ["hostAliases", []],
      ["dnsPolicy", "None"],
      ["dnsConfig", { nameservers: ["10.0.0.1"] }],
      ["schedulerName", "mine"],
      ["topologySpreadConstraints", []],
      ["enableServiceLinks", false],
      ["activeDeadlineSeconds", 5],
    ] as const
  ).map(([name, value]): [string, Doc, string] => [
    name,
    document({ [name]: value }),
    name === "activeDeadlineSeconds"
      ? `/spec/${name}: not supported yet`
      : `/spec/${name}: not taken`,
  ]),
  ...[
    "io.podman.annotations.privileged",
    "run.oci.keep_original_groups",
    "cdi.k8s.io/gpu",
    "io.kubernetes.cri.untrusted-workload",
    "container.apparmor.security.beta.kubernetes.io/web",
    "dev.gvisor.spec.mount.x",
    "io.katacontainers.config.hypervisor.path",
  ].map((name): [string, Doc, string] => [
    `the annotation ${name}`,
    annotated(name),
    "not taken: it would be an order to the container runtime",
  ]),
  ["an annotation of ours", annotated("waybill.dev/pod-spec"), "Waybill's own"],
  [
    "a status",
    document({}, {}, { status: { phase: "Running" } }),
    "/status: not taken: it is what was seen",
  ],
  [
    "a namespace",
    document({}, { namespace: "kube-system" }),
    "/metadata/namespace: there are no namespaces here",
  ],
  ["a uid", document({}, { uid: "x" }), "/metadata/uid: not taken"],
  ["an owner", document({}, { ownerReferences: [] }), "/metadata/ownerReferences: not taken"],
  ...["nfs", "csi", "projected", "downwardAPI", "gitRepo", "ephemeral", "iscsi"].map(
    (name): [string, Doc, string] => [
      `a volume of the kind ${name}`,
      withVolume({ [name]: {} }),
      `/spec/volumes/0/${name}: not taken: a volume is emptyDir, hostPath`,
    ],
  ),
  [
    "a block device",
    withContainer({ volumeDevices: [] }),
    "/spec/containers/0/volumeDevices: not taken",
  ],
  ["a pull policy", withContainer({ imagePullPolicy: "Always" }), "images are pinned by digest"],
  ["envFrom", withContainer({ envFrom: [] }), "name each variable in env"],
  [
    "a main container's own restart policy",
    withContainer({ restartPolicy: "Always" }),
    "only an init container has one",
  ],
  [
    "disk in resources",
    withContainer({ resources: { limits: { "ephemeral-storage": "1Gi" } } }),
    "sizeLimit",
  ],
  [
    "an unknown resource",
    withContainer({ resources: { limits: { "nvidia.com/gpu": 1 } } }),
    "unknown field",
  ],
  [
    "a grpc probe",
    withContainer({ livenessProbe: { exec: { command: ["x"] }, grpc: { port: 1 } } }),
    "/spec/containers/0/livenessProbe/grpc: not taken",
  ],
  [
    "a word for a number",
    withContainer({ env: [{ name: "PORT", value: 8080 }] }),
    "must be a text: put it in quotes",
  ],
  [
    "a misspelt field of a mount",
    mounted({ mountPth: "/x" }),
    '/spec/containers/0/volumeMounts/0/mountPth: unknown field; did you mean "mountPath"?',
  ],
  ["a field of another place", document({ mountPath: "/x" }), "/spec/mountPath: unknown field"],
  [
    "a Pod without a version",
    { kind: "Pod", metadata: { name: "shop" }, spec: { containers: [web()] } },
    "/apiVersion: ",
  ],
])("%s is refused by its name", (_what, value, error) => {
  expect(errorsOf(value)).toEqual([expect.stringContaining(error)]);
});

// Row 53.
test.each([
  ...["UPPER/x", "a//b", "x@sha256:zz", "x".repeat(300), "-x", "a b", "", ":tag", "x:", "x@"],
  ...[
    "docker://x",
    "oci-archive:/etc",
    "dir:/",
    "containers-storage:",
    "https://x/y",
    "../x",
    "x:a/b",
  ],
  ...["x\n", "x\0", "x:tag@sha256:zz", "$(id)", "registry.example.com/", "/x"],
])("%j is no image's name", (image) => {
  expect(errorsOf({ name: "shop", image })).toEqual([expect.stringMatching("^/image: ")]);
  expect(errorsOf(document({ containers: [web({ image })] }))).toEqual([
    expect.stringMatching("^/spec/containers/0/image: "),
  ]);
});

test("whatever is sent, the answer is a list of mistakes or a spec that reads back as itself", () => {
  const anything = fc.anything({ maxDepth: 4, withNullPrototype: false });
  const pods = fc.oneof(
    anything,
    anything.map((spec) => document({ x: spec })),
    anything.map((containers) => document({ containers })),
    anything.map((it) => withContainer({ volumeMounts: it, env: it, ports: it, lifecycle: it })),
    anything.map((it) => withContainer({ resources: it, startupProbe: it, securityContext: it })),
    anything.map((it) => document({ volumes: it, affinity: it }, { labels: it, annotations: it })),
    anything.map((it) => ({ name: "shop", pod: it })),
    anything.map((it) => ({ name: "shop", image: it, http: it, env: it })),
  );

  fc.assert(
    fc.property(pods, (value) => {
      const first = parseAppSpec(value);
      if (!first.ok) return first.errors.length > 0;
      const again = parseAppSpec(JSON.parse(JSON.stringify(first.value)));
      return again.ok && canonicalJson(again.value) === canonicalJson(first.value);
    }),
    { numRuns: 3_000 },
  );
}, 60_000);

test("a mebibyte of mistakes costs less than a second of work, and two hundred of them are named", () => {
  const many = <T>(count: number, make: (at: number) => T) =>
    Array.from({ length: count }, (_, at) => make(at));
  const worlds: Doc[] = [
    document({ containers: many(100_000, () => 1) }),
    document({
      containers: many(32, () => web({ env: many(1_000, (at) => ({ name: `${at}`, x: at })) })),
    }),
    document({
      containers: many(32, () => web({ volumeMounts: many(200, (at) => ({ name: `v${at}` })) })),
      volumes: many(100, () => ({ name: "a" })),
    }),
    document(Object.fromEntries(many(60_000, (at) => [`containrs${at}`, at]))),
    document({}, { labels: Object.fromEntries(many(60_000, (at) => [`-${at}`, "x"])) }),
    document({
      containers: many(32, () => web(Object.fromEntries(many(2_000, (at) => [`imag${at}`, 1])))),
    }),
    document({
      containers: many(32, () => web({ env: many(150, (at) => ({ name: `${at}`, x: at })) })),
    }),
    withContainer({ resources: { limits: { memory: "9".repeat(1_000_000) } } }),
    withContainer({ image: `${"a-".repeat(500_000)}/` }),
    withContainer({ ports: many(90_000, () => ({ containerPort: 80 })) }),
  ];

  for (const value of worlds) {
    const before = process.threadCpuUsage();
    const errors = errorsOf(value);
    const { user, system } = process.threadCpuUsage(before);
    expect((user + system) / 1_000).toBeLessThan(1_000);
    expect(errors.length).toBeGreaterThan(0);
    expect(errors.length).toBeLessThanOrEqual(201);
  }
}, 60_000);
