import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { executors } from "../../node-agent/act/act.ts";
import { openOutcomes, type PodOutcome } from "../../node-agent/disk/outcomes.ts";
import { placesIn } from "../../node-agent/disk/places.ts";
import { planNode } from "../../node-agent/plan/plan.ts";
import { someHands } from "../support/hands.ts";
import { openMemoryRuntime } from "../support/memory-runtime.ts";
import { aContainer, aPodOf, aSandbox, aWorld, uidOf } from "./a-world.ts";

let folder = "";
let troubles: string[] = [];
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), "outcomes-")), "outcomes");
  troubles = [];
});
afterEach(() => rm(join(folder, ".."), { recursive: true, force: true }));

const open = () =>
  openOutcomes({
    folder,
    tailOf: async (_, fault) => (fault ? [`the last words of ${fault.container}`] : []),
    onTrouble: (file) => troubles.push(file),
  });

/** The outcome of a pod whose only container ended so. */
function ended(pod: ReturnType<typeof aPodOf>, exitCode: number): PodOutcome {
  const containers = [aContainer({ state: "exited", exitCode })];
  const [step] = planNode(aWorld([pod], [aSandbox(pod, { containers })]));
  if (step?.do !== "end-pod") throw new Error("not over");
  return step.outcome;
}

test("how a pod ended outlives the agent, with the last words of who is at fault", async () => {
  const [bad, good] = [aPodOf({ policy: "Never" }), aPodOf({ policy: "Never" })];
  const first = await open();
  await first.record(ended(bad, 1));
  await first.record(ended(good, 0));

  const known = (await open()).all();

  expect(known.get(uidOf(bad))).toMatchObject({
    status: { phase: "Failed", logTail: ["the last words of web"] },
  });
  expect(known.get(uidOf(good))).toMatchObject({ status: { phase: "Succeeded", logTail: [] } });
});

test("an end that no report takes is found by the next agent all the same", async () => {
  const pod = aPodOf({ policy: "Never" });
  const { status, ...outcome } = ended(pod, 0);
  await (await open()).record({ ...outcome, status: { ...status, reason: "x".repeat(501) } });

  expect((await open()).all().get(uidOf(pod))?.status.phase).toBe("Succeeded");
  expect(troubles).toEqual([]);
});

test("the first end of a pod stays, and another wish's takes its place", async () => {
  const outcomes = await open();
  const pod = aPodOf({ policy: "Never" });
  await outcomes.record(ended(pod, 1));
  await outcomes.record(ended(pod, 0));
  expect(outcomes.all().get(uidOf(pod))?.status.phase).toBe("Failed");

  await outcomes.record({ ...ended(pod, 0), fingerprint: "another wish" });

  expect(outcomes.all().get(uidOf(pod))?.status.phase).toBe("Succeeded");
});

test("an end is written down before anything of its pod is touched", async () => {
  const pod = aPodOf({ policy: "Never", init: [{ name: "ship", sidecar: true }] });
  const containers = [
    aContainer({ name: "web", state: "exited" }),
    aContainer({ name: "ship", kind: "sidecar" }),
  ];
  const [step] = planNode(aWorld([pod], [aSandbox(pod, { containers })]));
  if (step?.do !== "end-pod") throw new Error("not over");
  const outcomes = await open();
  // As for an agent that is killed right there.
  const die = async () => {
    throw new Error("the agent is gone");
  };
  const runtime = { ...openMemoryRuntime([]), stopContainer: die, stopSandbox: die };
  const hands = someHands({ runtime, places: placesIn(folder, "/none"), outcomes });

  const ending = executors(hands)["end-pod"](step, new AbortController().signal);

  await expect(ending).rejects.toThrow("the agent is gone");
  expect((await open()).all().get(uidOf(pod))?.status.phase).toBe("Succeeded");
});

test("only pods that are still known are kept", async () => {
  const [staying, leaving] = [aPodOf({ policy: "Never" }), aPodOf({ policy: "Never" })];
  const outcomes = await open();
  await outcomes.record(ended(staying, 0));
  await outcomes.record(ended(leaving, 0));

  await outcomes.keepOnly(new Set([uidOf(staying)]));

  expect([...outcomes.all().keys()]).toEqual([uidOf(staying)]);
  expect(await readdir(folder)).toEqual([`${uidOf(staying)}.json`]);
});

test("a file that cannot be read is named, and nobody's end but its own is in doubt", async () => {
  const pod = aPodOf({ policy: "Never" });
  await (await open()).record(ended(pod, 0));
  const broken = join(folder, `${uidOf(aPodOf({}))}.json`);
  await writeFile(broken, "{");
  await writeFile(join(folder, `${uidOf(pod)}.json.new`), "half a dra");

  const again = await open();

  expect([...again.all().keys()]).toEqual([uidOf(pod)]);
  expect(troubles).toEqual([broken]);
});
