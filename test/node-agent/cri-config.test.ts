import { expect, test } from "vitest";
import {
  containerConfig,
  nonRootProblem,
  sandboxConfig,
} from "../../node-agent/runtime/cri-config.ts";
import { aPod } from "../support/pods.ts";

const uid = "00000000-0000-4000-8000-000000000001";
const home = {
  installation: "waybill-x",
  fingerprint: "f1",
  cgroup: `/waybill-x/pod${uid}`,
  logDir: `/data/logs/${uid}`,
  volumesDir: `/data/pods/${uid}/volumes`,
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

test("a sandbox is told to the runtime in exactly these words", () => {
  expect(sandboxConfig(restricted, home, 3)).toMatchInlineSnapshot(`
    {
      "annotations": {
        "waybill.dev/grace-seconds": "1",
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
  const [container] = restricted.spec.containers;
  if (!container) throw new Error("a pod without a container");

  expect(
    containerConfig(container, home, { attempt: 2, restarts: 5, crashes: 1 }),
  ).toMatchInlineSnapshot(`
    {
      "annotations": {
        "waybill.dev/crashes": "1",
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
          "host_path": "/data/pods/00000000-0000-4000-8000-000000000001/volumes/tmp",
          "propagation": "PROPAGATION_PRIVATE",
          "readonly": false,
        },
      ],
    }
  `);
});

test("a container that asks for nothing still gets no new privileges, no raw sockets and no swap", () => {
  const [container] = aPod().spec.containers;
  if (!container) throw new Error("a pod without a container");

  const { linux } = containerConfig(container, home, { attempt: 0, restarts: 0, crashes: 0 });

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
    const [container] = aPod({ container: { securityContext: { runAsNonRoot: true, runAsUser } } })
      .spec.containers;
    if (!container) throw new Error("a pod without a container");

    const found = nonRootProblem(container, user);

    if (problem === undefined) expect(found).toBeUndefined();
    else expect(found).toMatch(problem);
  },
);
