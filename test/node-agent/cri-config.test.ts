import { expect, test } from "vitest";
import type { Pod } from "../../contract/pod/pod.ts";
import { rolesOf } from "../../node-agent/plan/kinds.ts";
import {
  type ContainerGiven,
  containerConfig,
  sandboxConfig,
} from "../../node-agent/runtime/cri-config.ts";
import { nonRootProblem } from "../../node-agent/runtime/cri-security.ts";
import { ANNOTATIONS, MAX_POD_SPEC_CHARS } from "../../node-agent/runtime/labels.ts";
import { aPod } from "../support/pods.ts";

const uid = "00000000-0000-4000-8000-000000000001";
const home = {
  installation: "waybill-x",
  fingerprint: "f1",
  cgroup: `/waybill-x/pod${uid}`,
  logDir: `/data/logs/${uid}`,
  dns: { servers: ["10.1.1.1"], searches: ["example.com"], options: ["ndots:1"] },
};
const restricted = aPod({
  uid,
  volumes: ["tmp"],
  container: {
    command: ["/bin/run"],
    args: ["--fast"],
    env: [{ name: "A", value: "1" }],
    resources: {
      requests: { cpu: "250m", memory: "64Mi" },
      limits: { cpu: "1500m", memory: "128Mi" },
    },
    securityContext: {
      runAsUser: 10_001,
      runAsGroup: 10_002,
      runAsNonRoot: true,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    },
  },
});

const given: ContainerGiven = { env: [], command: [], args: [], mounts: [], imageUser: "" };

/** What the runtime is told of one container of this pod, by its name. */
function told(pod: Pod, name = "web", said: Partial<ContainerGiven> = {}) {
  const role = rolesOf(pod.spec).find((it) => it.container.name === name);
  if (!role) throw new Error(`the pod has no container ${name}`);
  const start = { ...role, attempt: 2, restarts: 5, crashes: 1 };
  return containerConfig(pod, start, home, { ...given, ...said });
}

test("a sandbox is told to the runtime in exactly these words", () => {
  expect(sandboxConfig(restricted, home, { attempt: 3, deaths: 1 })).toMatchInlineSnapshot(`
    {
      "annotations": {
        "waybill.dev/deaths": "1",
        "waybill.dev/grace-seconds": "1",
        "waybill.dev/pod-spec": "{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-1","uid":"00000000-0000-4000-8000-000000000001","labels":{"waybill.dev/app":"web"},"annotations":{}},"spec":{"containers":[{"name":"web","image":"waybill.internal/apps/web@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","command":["/bin/run"],"args":["--fast"],"env":[{"name":"A","value":"1"}],"ports":[{"containerPort":8080,"protocol":"TCP"}],"resources":{"requests":{"cpu":"250m","memory":"64Mi"},"limits":{"memory":"128Mi","cpu":"1500m"}},"readinessProbe":{"httpGet":{"path":"/","port":8080,"httpHeaders":[]},"initialDelaySeconds":0,"periodSeconds":1,"timeoutSeconds":1,"failureThreshold":3,"successThreshold":1},"securityContext":{"runAsUser":10001,"runAsGroup":10002,"runAsNonRoot":true,"readOnlyRootFilesystem":true,"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}},"volumeMounts":[{"name":"tmp","mountPath":"/tmp"}]}],"initContainers":[],"volumes":[{"name":"tmp","emptyDir":{"medium":"Memory","sizeLimit":"1Mi"}}],"restartPolicy":"Always","terminationGracePeriodSeconds":1,"shareProcessNamespace":false,"securityContext":{},"nodeSelector":{}}}",
      },
      "dns_config": {
        "options": [
          "ndots:1",
        ],
        "searches": [
          "example.com",
        ],
        "servers": [
          "10.1.1.1",
        ],
      },
      "hostname": "web-1",
      "labels": {
        "waybill.dev/app": "web",
        "waybill.dev/fingerprint": "f1",
        "waybill.dev/installation": "waybill-x",
        "waybill.dev/pod": "00000000-0000-4000-8000-000000000001",
      },
      "linux": {
        "cgroup_parent": "/waybill-x/pod00000000-0000-4000-8000-000000000001",
        "resources": {
          "cpu_period": 100000,
          "cpu_quota": 150000,
          "cpu_shares": 256,
          "memory_limit_in_bytes": 134217728,
        },
        "security_context": {
          "namespace_options": {
            "ipc": "POD",
            "network": "POD",
            "pid": "CONTAINER",
          },
          "readonly_rootfs": true,
          "run_as_group": {
            "value": 65534,
          },
          "run_as_user": {
            "value": 65534,
          },
          "seccomp": {
            "profile_type": "RuntimeDefault",
          },
        },
      },
      "log_directory": "/data/logs/00000000-0000-4000-8000-000000000001",
      "metadata": {
        "attempt": 3,
        "name": "web-1",
        "namespace": "waybill",
        "uid": "00000000-0000-4000-8000-000000000001",
      },
    }
  `);
});

test("a restricted container is told to the runtime in exactly these words", () => {
  const mount = { containerPath: "/tmp", hostPath: "/data/tmp", readOnly: false };

  expect(
    told(restricted, "web", {
      env: [{ name: "A", value: "1" }],
      command: ["/bin/run"],
      args: ["--fast"],
      mounts: [mount],
    }),
  ).toMatchInlineSnapshot(`
    {
      "annotations": {
        "waybill.dev/crashes": "1",
        "waybill.dev/kind": "main",
        "waybill.dev/restarts": "5",
      },
      "args": [
        "--fast",
      ],
      "command": [
        "/bin/run",
      ],
      "envs": [
        {
          "key": "A",
          "value": "1",
        },
      ],
      "image": {
        "image": "waybill.internal/apps/web@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
      },
      "labels": {
        "waybill.dev/installation": "waybill-x",
      },
      "linux": {
        "resources": {
          "cpu_period": 100000,
          "cpu_quota": 150000,
          "cpu_shares": 256,
          "memory_limit_in_bytes": 134217728,
          "memory_swap_limit_in_bytes": 134217728,
        },
        "security_context": {
          "capabilities": {
            "drop_capabilities": [
              "NET_RAW",
              "ALL",
            ],
          },
          "namespace_options": {
            "ipc": "POD",
            "network": "POD",
            "pid": "CONTAINER",
          },
          "no_new_privs": true,
          "readonly_rootfs": true,
          "run_as_group": {
            "value": 10002,
          },
          "run_as_user": {
            "value": 10001,
          },
          "seccomp": {
            "profile_type": "RuntimeDefault",
          },
        },
      },
      "log_path": "web.2.log",
      "metadata": {
        "attempt": 2,
        "name": "web",
      },
      "mounts": [
        {
          "container_path": "/tmp",
          "host_path": "/data/tmp",
          "propagation": "PROPAGATION_PRIVATE",
          "readonly": false,
        },
      ],
    }
  `);
});

test("a container that asks for nothing still gets no new privileges, no raw sockets and no swap", () => {
  const { linux } = told(aPod());

  expect(linux.security_context).toMatchObject({
    no_new_privs: true,
    seccomp: { profile_type: "RuntimeDefault" },
    capabilities: { drop_capabilities: ["NET_RAW"] },
  });
  expect(linux.resources.memory_swap_limit_in_bytes).toBe(linux.resources.memory_limit_in_bytes);
  expect(linux.resources).not.toHaveProperty("cpu_quota");
});

test.each([
  ["", undefined, /runs as root/],
  ["0", undefined, /runs as root/],
  ["tomcat", undefined, /runs as "tomcat"/],
  ["1000", undefined, undefined],
  ["", 1_000, undefined],
  ["1000", 0, /runAsUser is 0/],
])(
  "an image of user %j under runAsUser %j keeps the promise not to run as root, or does not start",
  (user, runAsUser, problem) => {
    const pod = aPod({ container: { securityContext: { runAsNonRoot: true, runAsUser } } });
    const [container] = pod.spec.containers;
    if (!container) throw new Error("a pod without a container");

    const found = nonRootProblem(pod, container, user);

    if (problem === undefined) expect(found).toBeUndefined();
    else expect(found).toMatch(problem);
  },
);

test("a sandbox keeps the whole pod for whoever has to stop it without a wish, unless it is too long", () => {
  const small = aPod({ uid });
  const large = aPod({
    uid,
    container: { args: Array(4).fill("x".repeat(MAX_POD_SPEC_CHARS / 4)) },
  });
  const kept = (pod: Pod) => {
    const annotations: Readonly<Record<string, string>> = sandboxConfig(pod, home, {
      attempt: 0,
      deaths: 0,
    }).annotations;
    return annotations[ANNOTATIONS.podSpec];
  };

  expect(JSON.parse(kept(small) ?? "")).toEqual(small);
  expect(kept(large)).toBeUndefined();
});

test("the containers of a pod share its processes, groups and identity where it asks for that", () => {
  const pod = aPod({
    spec: {
      shareProcessNamespace: true,
      hostname: "db",
      securityContext: { runAsUser: 7, runAsGroup: 8, fsGroup: 9, supplementalGroups: [10] },
      initContainers: [
        {
          name: "helper",
          image: `waybill.internal/helper@sha256:${"b".repeat(64)}`,
          restartPolicy: "Always",
          securityContext: { runAsUser: 70 },
        },
      ],
    },
  });
  const sandbox = sandboxConfig(pod, home, { attempt: 0, deaths: 0 });
  const context = (name: string) => told(pod, name).linux.security_context;

  expect(sandbox.hostname).toBe("db");
  expect(sandbox.linux.security_context.namespace_options.pid).toBe("POD");
  expect(context("web")).toMatchObject({
    namespace_options: { network: "POD", ipc: "POD", pid: "POD" },
    run_as_user: { value: 7 },
    run_as_group: { value: 8 },
    supplemental_groups: [10, 9],
  });
  expect(context("helper")).toMatchObject({
    run_as_user: { value: 70 },
    run_as_group: { value: 8 },
  });
  expect(told(pod, "helper").annotations[ANNOTATIONS.kind]).toBe("sidecar");
});

test.each([
  ["1000", { run_as_user: { value: 1_000 } }],
  ["", { run_as_user: { value: 0 } }],
  ["tomcat", { run_as_username: "tomcat" }],
])("a group alone stays beside the image's own user %j", (imageUser, expected) => {
  const pod = aPod({ container: { securityContext: { runAsGroup: 5 } } });

  const { security_context } = told(pod, "web", { imageUser }).linux;

  expect(security_context).toMatchObject({ ...expected, run_as_group: { value: 5 } });
});

test("host ports are the sandbox's, those of plain init containers left out", () => {
  const image = `waybill.internal/helper@sha256:${"b".repeat(64)}`;
  const ports = (hostPort: number) => [{ containerPort: 53, hostPort, protocol: "UDP" }];
  const pod = aPod({
    container: { ports: [{ containerPort: 8080, hostPort: 80 }, { containerPort: 9090 }] },
    spec: {
      initContainers: [
        { name: "once", image, ports: ports(1) },
        { name: "beside", image, restartPolicy: "Always", ports: ports(2) },
      ],
    },
  });

  expect(sandboxConfig(pod, home, { attempt: 0, deaths: 0 }).port_mappings).toEqual([
    { protocol: "UDP", container_port: 53, host_port: 2 },
    { protocol: "TCP", container_port: 8080, host_port: 80 },
  ]);
});
