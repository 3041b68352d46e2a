import { expect, test } from "vitest";
import { PodSpec } from "../../contract/pod/pod.ts";
import { effectiveLimits, effectiveRequests } from "../../contract/pod/requests.ts";

const GIB = 1024 ** 3;

type Said = { readonly cpu: string; readonly memory?: string; readonly sidecar?: boolean };

function aSpec(init: readonly Said[], main: readonly Said[], of: "requests" | "limits") {
  const container = (name: string, { cpu, memory = "1Gi", sidecar }: Said) => ({
    name,
    image: "busybox",
    resources: { [of]: { cpu, memory } },
    ...(sidecar && { restartPolicy: "Always" }),
  });
  return PodSpec.parse({
    initContainers: init.map((it, at) => container(`init-${at}`, it)),
    containers: main.map((it, at) => container(`main-${at}`, it)),
  });
}

/** Those of Kubernetes' documentation and of the tests of its component-helpers. */
const EXAMPLES: readonly {
  readonly name: string;
  readonly init: readonly Said[];
  readonly main: readonly Said[];
  readonly cpu: number;
  readonly memory: number;
}[] = [
  { name: "one container", init: [], main: [{ cpu: "1" }], cpu: 1_000, memory: GIB },
  {
    name: "containers add up",
    init: [],
    main: [
      { cpu: "500m", memory: "1Gi" },
      { cpu: "200m", memory: "512Mi" },
    ],
    cpu: 700,
    memory: 1.5 * GIB,
  },
  {
    name: "the largest init container counts where it is more",
    init: [
      { cpu: "1", memory: "2Gi" },
      { cpu: "2", memory: "4Gi" },
    ],
    main: [
      { cpu: "500m", memory: "1Gi" },
      { cpu: "200m", memory: "512Mi" },
    ],
    cpu: 2_000,
    memory: 4 * GIB,
  },
  {
    name: "each resource has its own largest",
    init: [{ cpu: "3", memory: "256Mi" }],
    main: [{ cpu: "1", memory: "2Gi" }],
    cpu: 3_000,
    memory: 2 * GIB,
  },
  {
    name: "a sidecar adds to the main containers",
    init: [{ cpu: "1", sidecar: true }],
    main: [{ cpu: "1" }],
    cpu: 2_000,
    memory: 2 * GIB,
  },
  {
    name: "sidecars add up beside a smaller init container",
    init: [
      { cpu: "5" },
      { cpu: "1", sidecar: true },
      { cpu: "2", sidecar: true },
      { cpu: "3", sidecar: true },
    ],
    main: [{ cpu: "1" }],
    cpu: 7_000,
    memory: 4 * GIB,
  },
  {
    name: "an init container runs beside the sidecars before it",
    init: [
      { cpu: "1", sidecar: true },
      { cpu: "2", sidecar: true },
      { cpu: "5" },
      { cpu: "3", sidecar: true },
    ],
    main: [{ cpu: "1" }],
    cpu: 8_000,
    memory: 4 * GIB,
  },
  {
    name: "and not beside those after it",
    init: [{ cpu: "5" }, { cpu: "3", sidecar: true }],
    main: [{ cpu: "1" }],
    cpu: 5_000,
    memory: 2 * GIB,
  },
];

test.each(EXAMPLES)("a pod asks for what Kubernetes counts: $name", ({ init, main, ...sum }) => {
  expect(effectiveRequests(aSpec(init, main, "requests"))).toEqual({
    cpuMillis: sum.cpu,
    memoryBytes: sum.memory,
    pods: 1,
  });
});

test.each(EXAMPLES)("a pod's limits are counted alike: $name", ({ init, main, ...sum }) => {
  expect(effectiveLimits(aSpec(init, main, "limits"))).toEqual({
    cpuMillis: sum.cpu,
    memoryBytes: sum.memory,
  });
});

test("a pod with one container that has no CPU limit has none itself", () => {
  const spec = PodSpec.parse({
    containers: [
      { name: "bounded", image: "busybox", resources: { limits: { cpu: "1", memory: "1Gi" } } },
      { name: "unbounded", image: "busybox", resources: { limits: { memory: "1Gi" } } },
    ],
  });

  expect(effectiveLimits(spec)).toEqual({ cpuMillis: undefined, memoryBytes: 2 * GIB });
});
