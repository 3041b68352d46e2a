import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { VolumeKey } from "../../../contract/material/material.ts";
import { DesiredState } from "../../../contract/node/protocol.ts";
import { placesIn } from "../../../node-agent/disk/places.ts";
import type { View } from "../../../node-agent/run.ts";
import { openPurger } from "../../../node-agent/volumes/purge.ts";
import { podWith } from "./a-host.ts";

async function aFolder() {
  const path = await mkdtemp(join(tmpdir(), "waybill-test-purge-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

test("a named volume is deleted only when the wish names it, and not while a pod may use it", async () => {
  await using folder = await aFolder();
  const places = placesIn(folder.path, "/waybill-test");
  const key = { project: "team", name: "data" };
  const pod = podWith([{ name: "data", persistentVolumeClaim: { claimName: "data" } }]);
  for (const name of ["data", "other"]) {
    await mkdir(places.namedVolume({ project: "team", name }), { recursive: true });
    await writeFile(join(places.namedVolume({ project: "team", name }), "file"), "words");
  }
  let view: View | undefined;
  const purger = openPurger(places, () => view);
  const wish = (pods: readonly (typeof pod)[], purgeVolumes: readonly (typeof key)[]) => {
    const desired = { node: randomUUID(), generation: 1, pods, routes: [], purgeVolumes };
    view = { desired: DesiredState.parse(desired), seen: [], busy: new Set() };
  };
  const left = () => readdir(join(places.namedVolumesDir, "team"));

  await purger.pass();
  wish([], []);
  await purger.pass();
  wish([pod], [key]);
  await purger.pass();
  expect([await left(), purger.purged()]).toEqual([["data", "other"], []]);

  wish([], [key]);
  await purger.pass();
  expect([await left(), purger.purged()]).toEqual([["other"], [key]]);
  await purger.pass();
  expect(purger.purged()).toEqual([key]);
});

const key = (name: string, project = "team"): VolumeKey => ({ project, name });

function aView(purgeVolumes: readonly VolumeKey[], claimed: readonly string[]): View {
  const pods = claimed.map((claimName) =>
    podWith([{ name: "data", persistentVolumeClaim: { claimName } }]),
  );
  const desired = { node: randomUUID(), generation: 1, pods, routes: [], purgeVolumes };
  return { desired: DesiredState.parse(desired), seen: [], busy: new Set() };
}

test("a named volume that was made again is not told of as purged, before the next look, too", async () => {
  await using folder = await aFolder();
  const places = placesIn(folder.path, "/waybill-test");
  const purger = openPurger(places, () => aView([key("data")], []));
  await purger.pass();
  expect(purger.purged()).toEqual([key("data")]);

  await mkdir(places.namedVolume(key("data")), { recursive: true });

  expect(purger.purged()).toEqual([]);
});

test("a named volume that a pod begins to use while others are deleted stays, and one that fails keeps no other one", async () => {
  await using folder = await aFolder();
  const places = placesIn(folder.path, "/waybill-test");
  const keys = [key("stuck", "crew"), key("first"), key("second")];
  for (const it of keys) await mkdir(places.namedVolume(it), { recursive: true });
  await mkdir(join(places.namedVolumesDir, ".purged"));
  await writeFile(join(places.namedVolumesDir, ".purged/crew"), "in the way");
  const isFirstThere = () => existsSync(places.namedVolume(key("first")));
  const purger = openPurger(places, () => aView(keys, isFirstThere() ? [] : ["second"]));

  await expect(purger.pass()).rejects.toThrow("1 of 3");

  expect(purger.purged()).toEqual([key("first")]);
  expect(await readdir(join(places.namedVolumesDir, "team"))).toEqual(["second"]);
});

test("a named volume that a pod begins to use while what was left of an earlier one goes stays", async () => {
  await using folder = await aFolder();
  const places = placesIn(folder.path, "/waybill-test");
  const left = join(places.namedVolumesDir, ".purged/team/data");
  for (const it of [left, places.namedVolume(key("data"))]) await mkdir(it, { recursive: true });
  const purger = openPurger(places, () => aView([key("data")], existsSync(left) ? [] : ["data"]));

  await purger.pass();

  expect(purger.purged()).toEqual([]);
  expect(await readdir(join(places.namedVolumesDir, "team"))).toEqual(["data"]);
});

test.each(["..", "a/b", ".purged", ""])(
  "a named volume %j is none that a node could be told of",
  (name) => {
    expect(VolumeKey.safeParse({ project: "team", name }).success).toBe(false);
  },
);
