import { randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import { PodId } from "../../contract/ids.ts";
import { PodStatus } from "../../contract/node/protocol.ts";
import { planSight } from "../../db/nodes/sight-plan.ts";

const id = () => PodId.parse(randomUUID());
const seen = (pod: PodId, more: object = {}) =>
  PodStatus.parse({ pod, phase: "Running", ready: true, restarts: 0, containers: [], ...more });
const NOTHING = { store: [], forget: [], apps: [], readied: [], happened: [], strangers: [] };
const known = (pod: PodId, status: PodStatus | null, app = "shop") => ({
  pod,
  name: "shop-1-x",
  app,
  release: "r1",
  status,
});

test("the same report again changes nothing", () => {
  const pod = id();
  const status = seen(pod, { containers: [{ name: "app", state: "running", restarts: 0 }] });

  const change = planSight([known(pod, status)], [structuredClone(status)]);

  expect(change).toEqual(NOTHING);
});

test("a pod that becomes ready is news for other nodes, once", () => {
  const pod = id();
  const [unready, ready] = [seen(pod, { ready: false }), seen(pod)];
  const readied = (before: PodStatus | null, after: PodStatus) =>
    planSight([known(pod, before)], [after]).readied;

  expect([readied(null, ready), readied(unready, ready)]).toEqual([["shop"], ["shop"]]);
  expect([readied(null, unready), readied(ready, ready), readied(ready, unready)]).toEqual([
    [],
    [],
    [],
  ]);
});

test("a first sighting, a changed phase, readiness, restart or reason is worth a look", () => {
  const pod = id();
  const before = seen(pod);

  expect(planSight([known(pod, null)], [before]).apps).toEqual(["shop"]);
  for (const more of [
    { ready: false },
    { phase: "Terminating" },
    { restarts: 1 },
    { reason: "Error" },
  ]) {
    const after = seen(pod, more);
    expect(planSight([known(pod, before)], [after]).apps, JSON.stringify(more)).toEqual(["shop"]);
  }
});

test("only another phase or readiness starts a new `since`", () => {
  const pod = id();
  const moved = (more: object) =>
    planSight([known(pod, seen(pod))], [seen(pod, more)]).store[0]?.moved;

  expect(moved({ ready: false })).toBe(true);
  expect(moved({ restarts: 1 })).toBe(false);
});

test("a probe's count is stored and wakes nobody", () => {
  const pod = id();
  const before = seen(pod, { ready: false, probe: { times: 1 } });

  const change = planSight(
    [known(pod, before)],
    [seen(pod, { ready: false, probe: { times: 2 } })],
  );

  expect(change.store).toHaveLength(1);
  expect(change.apps).toEqual([]);
});

test("what was seen and is not named any more is forgotten; what was never seen stays unseen", () => {
  const [gone, unseen] = [id(), id()];

  const change = planSight([known(gone, seen(gone)), known(unseen, null, "other")], []);

  expect(change).toEqual({ ...NOTHING, forget: [gone], apps: ["shop"] });
});

test("strangers and repetitions are not stored", () => {
  const [own, stranger] = [id(), id()];

  const change = planSight(
    [known(own, null)],
    [seen(own), seen(own, { ready: false }), seen(stranger)],
  );

  expect(change.store.map((it) => it.status)).toEqual([seen(own)]);
  expect(change.strangers).toEqual([stranger]);
});
