import { describe, expect, test } from "vitest";
import { AppSpec } from "../../../contract/app/app-spec.ts";
import { Digest, PodId } from "../../../contract/ids.ts";
import { demandsOf } from "../../../contract/placement/demands.ts";
import { fingerprintText, POD_LABELS } from "../../../contract/pod/pod.ts";
import type { FrozenRelease } from "../../../worker/schedule/frozen.ts";
import { podOf } from "../../../worker/schedule/pod.ts";

const ID = PodId.parse("0b6f7a4e-5f0e-4d7e-9c55-0d1a2b3c4d5e");
const digest = (letter: string) => `sha256:${letter.repeat(64)}`;

function frozen(spec: object, said: Partial<FrozenRelease> = {}): FrozenRelease {
  return {
    project: "default",
    number: 7,
    spec: AppSpec.parse(spec),
    imageRepository: "mirror/nginx",
    imageDigest: Digest.parse(digest("a")),
    images: { nginx: `mirror/nginx@${digest("a")}`, debian: `mirror/debian@${digest("d")}` },
    materials: { secrets: {}, configMaps: {} },
    httpPort: null,
    ...said,
  };
}

function aPodSpec(spec: object, metadata: object = {}): object {
  return {
    name: "shop",
    pod: { apiVersion: "v1", kind: "Pod", metadata: { name: "shop", ...metadata }, spec },
  };
}

const NGINX = { name: "web", image: "nginx" };
const OPENS_80 = { tcpSocket: { port: 80 } };

describe("an image", () => {
  const spec = { name: "shop", image: "nginx", env: { A: "b" } };
  const container = (said: object, httpPort: number | null) =>
    podOf(frozen({ ...spec, ...said }, { httpPort }), ID).spec.containers[0];

  test("is one container of it, by digest, with the spec's resources and environment", () => {
    const { metadata, spec: pod } = podOf(frozen(spec), ID);

    expect(metadata).toMatchObject({
      name: "shop-7-0b6f7",
      uid: ID,
      labels: {
        [POD_LABELS.app]: "shop",
        [POD_LABELS.project]: "default",
        [POD_LABELS.release]: "7",
      },
    });
    expect(pod.hostname).toBe("shop");
    expect(pod.containers).toMatchObject([
      {
        name: "app",
        image: `waybill.internal/mirror/nginx@${digest("a")}`,
        env: [{ name: "A", value: "b" }],
        resources: { requests: { cpu: "500m", memory: "512Mi" }, limits: { memory: "512Mi" } },
      },
    ]);
  });

  test("is asked for its health page, else for its port, else nothing", () => {
    const asked = container({ http: { health: { path: "/up" } } }, 80);

    expect(asked?.startupProbe).toMatchObject({ httpGet: { path: "/up", port: 80 } });
    expect(asked?.readinessProbe).toMatchObject({ httpGet: { path: "/up", port: 80 } });
    expect(container({}, 80)?.readinessProbe).toMatchObject(OPENS_80);
    expect(container({}, 80)?.startupProbe).toBeUndefined();
    expect(container({}, null)?.readinessProbe).toBeUndefined();
  });
});

describe("a pod", () => {
  test("keeps all that the user said, and carries Waybill's labels beside the user's", () => {
    const labels = { team: "blue", [POD_LABELS.app]: "not-mine" };
    const spec = { containers: [NGINX], hostname: "box", restartPolicy: "Never" };

    const pod = podOf(frozen(aPodSpec(spec, { labels, annotations: { note: "x" } })), ID);

    expect(pod.metadata.labels).toMatchObject({ team: "blue", [POD_LABELS.app]: "shop" });
    expect(pod.metadata.annotations).toEqual({ note: "x" });
    expect(pod.spec).toMatchObject({ hostname: "box", restartPolicy: "Never" });
  });

  test("names every image by digest, and every secret and config map by version", () => {
    const key = { name: "db", key: "password" };
    const release = frozen(
      aPodSpec({
        initContainers: [{ name: "init", image: "debian" }],
        containers: [
          {
            ...NGINX,
            env: [
              { name: "A", valueFrom: { secretKeyRef: key } },
              { name: "B", valueFrom: { configMapKeyRef: { ...key, name: "settings" } } },
              { name: "C", valueFrom: { secretKeyRef: { ...key, name: "no", optional: true } } },
              { name: "D", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
            ],
          },
        ],
        volumes: [
          { name: "s", secret: { secretName: "db" } },
          { name: "c", configMap: { name: "settings" } },
          { name: "i", image: { reference: "debian" } },
        ],
      }),
      { materials: { secrets: { db: 3 }, configMaps: { settings: 1 } } },
    );

    const { spec } = podOf(release, ID);

    const debian = `waybill.internal/mirror/debian@${digest("d")}`;
    expect(spec.initContainers[0]?.image).toBe(debian);
    expect(spec.containers[0]?.env.map((it) => it.valueFrom)).toMatchObject([
      { secretKeyRef: { name: "db.v3" } },
      { configMapKeyRef: { name: "settings.v1" } },
      { secretKeyRef: { name: "no.v0", optional: true } },
      { fieldRef: { fieldPath: "metadata.name" } },
    ]);
    expect(spec.volumes).toMatchObject([
      { secret: { secretName: "db.v3" } },
      { configMap: { name: "settings.v1" } },
      { image: { reference: debian } },
    ]);
  });

  test("has another fingerprint when a secret's version is another, and none when labels are", () => {
    const spec = { containers: [NGINX], volumes: [{ name: "s", secret: { secretName: "db" } }] };
    const text = (version: number, metadata = {}) =>
      fingerprintText(
        podOf(
          frozen(aPodSpec(spec, metadata), {
            number: version,
            materials: { secrets: { db: version }, configMaps: {} },
          }),
          ID,
        ),
      );

    expect(text(2)).not.toBe(text(1));
    expect(text(1, { labels: { team: "blue" }, annotations: { note: "x" } })).toBe(text(1));
  });

  test.each<[string, object[], (object | undefined)[]]>([
    [
      "the container that names it",
      [NGINX, { ...NGINX, name: "b", ports: [{ containerPort: 80 }] }],
      [undefined, OPENS_80],
    ],
    ["else the first one", [NGINX, { ...NGINX, name: "b" }], [OPENS_80, undefined]],
    [
      "nobody where the user asks it already, also by its name",
      [
        { ...NGINX, readinessProbe: { exec: { command: ["true"] } } },
        {
          ...NGINX,
          name: "b",
          ports: [{ name: "http", containerPort: 80 }],
          readinessProbe: { httpGet: { port: "http" } },
        },
      ],
      [{ exec: { command: ["true"] } }, { httpGet: { port: "http" } }],
    ],
  ])("that takes requests is asked at its port: %s", (_, containers, probes) => {
    const { spec } = podOf(frozen(aPodSpec({ containers }), { httpPort: 80 }), ID);

    const asked = spec.containers.map((it) => it.readinessProbe);
    for (const [at, probe] of probes.entries())
      probe ? expect(asked[at]).toMatchObject(probe) : expect(asked[at]).toBeUndefined();
  });

  test("whose sidecar takes the requests is asked by a main container, which does not wait for it", () => {
    const sidecar = { name: "proxy", image: "nginx", restartPolicy: "Always" };
    const initContainers = [{ ...sidecar, ports: [{ containerPort: 80 }] }];

    const { spec } = podOf(
      frozen(aPodSpec({ containers: [NGINX], initContainers }), { httpPort: 80 }),
      ID,
    );

    expect(spec.containers[0]?.readinessProbe).toMatchObject(OPENS_80);
    expect(spec.initContainers[0]?.readinessProbe).toBeUndefined();
  });

  test("asks of its node what all of its containers and volumes ask", () => {
    const term = (app: string) => ({
      requiredDuringSchedulingIgnoredDuringExecution: [
        { labelSelector: { matchLabels: { app } }, topologyKey: "kubernetes.io/hostname" },
      ],
    });
    const resources = { requests: { cpu: "1", memory: "1Gi" } };
    const spec = {
      initContainers: [{ name: "proxy", image: "nginx", restartPolicy: "Always", resources }],
      containers: [{ ...NGINX, resources, ports: [{ containerPort: 80, hostPort: 8443 }] }],
      volumes: [{ name: "v", persistentVolumeClaim: { claimName: "data" } }],
      runtimeClassName: "runsc",
      nodeSelector: { disk: "ssd" },
      affinity: { podAffinity: term("db"), podAntiAffinity: term("noisy") },
    };

    expect(demandsOf(podOf(frozen(aPodSpec(spec)), ID))).toMatchObject({
      requests: { cpuMillis: 2_000, memoryBytes: 2 * 1024 ** 3, pods: 1 },
      hostPorts: ["8443/TCP"],
      handler: "runsc",
      nodeSelector: { disk: "ssd" },
      near: [{ app: "db" }],
      apart: [{ app: "noisy" }],
      claims: ["data"],
    });
  });
});

test("a WAR is a Tomcat whose heap fits its memory, asked for its page", () => {
  const spec = { name: "shop", war: { artifact: digest("e"), contextPath: "/shop" } };

  const { spec: pod } = podOf(frozen(spec, { httpPort: 8080 }), ID);

  expect(pod.containers).toMatchObject([
    {
      name: "tomcat",
      image: `waybill.internal/mirror/nginx@${digest("a")}`,
      readinessProbe: { httpGet: { path: "/shop", port: 8080 } },
      securityContext: { readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } },
    },
  ]);
  expect(pod.containers[0]?.env[0]?.value).toContain("-Xmx272m");
});

test.each([
  ["an image that was never resolved", { images: {} }],
  ["a secret that was never frozen", { materials: { secrets: {}, configMaps: {} } }],
])("no pod is made of a release with %s", (_, said) => {
  const spec = { containers: [NGINX], volumes: [{ name: "s", secret: { secretName: "db" } }] };
  const release = frozen(aPodSpec(spec), {
    materials: { secrets: { db: 1 }, configMaps: {} },
    ...said,
  });

  expect(() => podOf(release, ID)).toThrow(/release 7 (has no image|froze no)/);
});
