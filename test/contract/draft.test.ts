import { expect, test } from "vitest";
import { AppSpec } from "../../contract/app/app-spec.ts";
import { PodId } from "../../contract/ids.ts";
import { demandsOf } from "../../contract/placement/demands.ts";
import { draftOf } from "../../contract/placement/draft.ts";
import { strategyOf } from "../../contract/placement/strategy.ts";
import { podOf } from "../../worker/schedule/pod.ts";
import { aDigest } from "../support/declared.ts";
import { aPodDocument, claiming } from "../support/materials.ts";

const POD = aPodDocument(
  "shop",
  {
    ports: [{ containerPort: 80, hostPort: 8_080 }],
    resources: { requests: { cpu: "2", memory: "1Gi" }, limits: { memory: "2Gi" } },
  },
  {
    ...claiming("data"),
    initContainers: [{ name: "first", image: "busybox", resources: { requests: { cpu: "3" } } }],
    runtimeClassName: "runsc",
    nodeSelector: { disk: "fast" },
    affinity: {
      podAntiAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [
          { labelSelector: { matchLabels: { a: "b" } }, topologyKey: "kubernetes.io/hostname" },
        ],
      },
    },
  },
);

test.each([
  { war: { artifact: aDigest("a") }, resources: { cpu: "1", memory: "768Mi" } },
  { image: "nginx", resources: { memory: "64Mi" }, singleton: true },
  { pod: { ...POD, metadata: { name: "shop", labels: { a: "c" } } } },
])("what a spec asks of nodes is what its pods will ask: %#", (source) => {
  const spec = AppSpec.parse({ name: "shop", ...source });
  const names = ["nginx", "busybox", `base/tool@${aDigest("c")}`];
  const pod = podOf(
    {
      ...{ project: "default", number: 3, spec, httpPort: 80, materials: NONE },
      ...{ imageRepository: "apps/default/shop", imageDigest: aDigest("d") },
      images: Object.fromEntries(names.map((it) => [it, `apps/default/shop@${aDigest("d")}`])),
    },
    PodId.parse("00000000-0000-4000-8000-000000000001"),
  );

  const draft = draftOf(spec, "default", 3);

  expect(demandsOf(draft)).toEqual(demandsOf(pod));
  expect(strategyOf(draft)).toEqual(strategyOf(pod));
});

const NONE = { secrets: {}, configMaps: {} };
