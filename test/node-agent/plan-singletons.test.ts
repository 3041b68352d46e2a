import { randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import { NodeId } from "../../contract/ids.ts";
import { SINGLETON } from "../../contract/placement/strategy.ts";
import { planNode } from "../../node-agent/plan/plan.ts";
import { wishOf } from "../../node-agent/plan/wish.ts";
import { aPodOf, aSandbox, aWorld, fp, uidOf } from "./a-world.ts";

const other = aPodOf({});
const keeping = aPodOf({
  volumes: [{ name: "v", persistentVolumeClaim: { claimName: "data" } }],
});
const bare = aPodOf({});
const single = {
  ...bare,
  metadata: { ...bare.metadata, annotations: { [SINGLETON]: "true" } },
};
const steps = (...args: Parameters<typeof aWorld>) => planNode(aWorld(...args)).map((it) => it.do);

test("after a boot a singleton waits for the api's word, and nothing else does", () => {
  for (const pod of [other, keeping])
    expect(steps([pod], [], { confirmed: false })).toEqual(["start-pod"]);
  expect(steps([single], [], { confirmed: false })).toEqual([]);
  expect(steps([single], [], { confirmed: true })).toEqual(["start-pod"]);
});

test("a node that nobody has planned for starts no singleton that ran there as another node", () => {
  const wish = {
    node: NodeId.parse(randomUUID()),
    generation: 0,
    routing: 0,
    routes: [],
    peers: [],
  };
  const told = { configMaps: [], secrets: [], keepImages: [], purgeVolumes: [] };
  const planned = (generation: number) =>
    wishOf({ ...wish, ...told, generation, pods: [single, other] }, [], fp);

  expect(planNode({ ...aWorld([], []), ...planned(0) }).map((it) => it.uid)).toEqual([
    uidOf(other),
  ]);
  expect(planNode({ ...aWorld([], []), ...planned(1) })).toHaveLength(2);
});

test("what a boot left of a singleton is not started again either, nor taken away", () => {
  const dead = aSandbox(single, { ready: false, containers: [] });

  expect(steps([single], [dead], { confirmed: false })).toEqual([]);
  expect(steps([single], [dead], { confirmed: true })).not.toEqual([]);
});

test("a singleton that runs is kept without the api, and one that is not wished for leaves", () => {
  const running = aSandbox(single);
  const crashed = aSandbox(single, { containers: [] });

  expect(steps([single], [running], { confirmed: false })).toEqual([]);
  expect(steps([single], [crashed], { confirmed: false })).not.toEqual([]);
  expect(steps([], [running], { confirmed: false })).toEqual(["remove-sandboxes"]);
});
