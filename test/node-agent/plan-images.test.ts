import { expect, test } from "vitest";
import { PAUSE_IMAGE } from "../../contract/node/protocol.ts";
import { Pod } from "../../contract/pod/pod.ts";
import { collectable, isFull, isRelieved, keptImages } from "../../node-agent/clean/plan-images.ts";
import { aPod } from "../support/pods.ts";

const reference = (name: string) => `waybill.internal/${name}@sha256:${"a".repeat(64)}`;
const image = (id: string, ...references: string[]) => ({ id, references, user: "" });

test("what is needed is kept: by the wish in all its parts, the release before, and pods still here", () => {
  const pod = aPod({ image: reference("main") });
  const wished = Pod.parse({
    ...pod,
    spec: {
      ...pod.spec,
      initContainers: [{ name: "init", image: reference("init") }],
      volumes: [{ name: "files", image: { reference: reference("files") } }],
    },
  });
  const here = aPod({ image: reference("leaving") });

  const kept = keptImages({ pods: [wished], keepImages: [reference("before")] }, [here]);

  expect([...kept].toSorted()).toEqual(
    [PAUSE_IMAGE, ...["main", "init", "files", "leaving", "before"].map(reference)].toSorted(),
  );
});

test("the image that was unwanted longest goes first, and what came from elsewhere never", () => {
  const images = [
    image("kept", reference("kept"), "waybill.internal/kept:1"),
    image("recent", reference("recent")),
    image("old", reference("old")),
    image("foreign", "docker.io/library/postgres:17"),
    image("nameless"),
    image("unknown", reference("unknown")),
  ];
  const lastWantedAtMs = new Map([
    ["old", 100],
    ["recent", 200],
  ]);

  const going = collectable(images, new Set([reference("kept")]), lastWantedAtMs);

  expect(going.map((it) => it.id)).toEqual(["unknown", "old", "recent"]);
});

test("a disk is full above 85 % and relieved at 80 %", () => {
  const used = (share: number) => ({ total: 1_000, free: 1_000 - share });

  expect([849, 850, 851].map((it) => isFull(used(it)))).toEqual([false, false, true]);
  expect([800, 801].map((it) => isRelieved(used(it)))).toEqual([true, false]);
  expect(isFull({ total: 0, free: 0 })).toBe(false);
});
