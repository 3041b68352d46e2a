import { expect, test } from "vitest";
import { SINGLETON } from "../../contract/placement/strategy.ts";
import { planNode } from "../../node-agent/plan/plan.ts";
import { aPodOf, aSandbox, aWorld } from "./a-world.ts";

const other = aPodOf({});
const bare = aPodOf({});
const single = {
  ...bare,
  metadata: { ...bare.metadata, annotations: { [SINGLETON]: "true" } },
};
const steps = (...args: Parameters<typeof aWorld>) => planNode(aWorld(...args)).map((it) => it.do);

test("after a boot a singleton waits for the api's word, and nothing else does", () => {
  expect(steps([other], [], { confirmed: false })).toEqual(["start-pod"]);
  expect(steps([single], [], { confirmed: false })).toEqual([]);
  expect(steps([single], [], { confirmed: true })).toEqual(["start-pod"]);
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
