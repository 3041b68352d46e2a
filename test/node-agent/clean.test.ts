import { randomUUID } from "node:crypto";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DesiredState } from "../../contract/node/protocol.ts";
import { openCleaner } from "../../node-agent/clean/clean.ts";
import { type Places, placesIn } from "../../node-agent/disk/places.ts";
import { aPod } from "../support/pods.ts";

let folder = "";
let places: Places;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "waybill-test-clean-"));
  places = placesIn(folder, "/waybill-test-of-nothing");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test("what cannot be cleaned keeps nothing else here, and what is unsent stays for a while", async () => {
  const [wanted, gone, unsent] = [aPod(), aPod(), aPod()];
  for (const { metadata } of [gone, unsent]) {
    await mkdir(places.podDir(metadata.uid), { recursive: true });
    await mkdir(places.logDir(metadata.uid), { recursive: true });
  }
  await writeFile(places.logDir(wanted.metadata.uid), "no folder");
  const fields = { node: randomUUID(), generation: 1, pods: [wanted], routes: [] };
  const clean = openCleaner({
    images: { relieve: () => Promise.reject(new Error("the runtime is away")) },
    places,
    view: () => ({ desired: DesiredState.parse(fields), seen: [], busy: new Set() }),
    isShipped: (pod) => pod !== unsent.metadata.uid,
  });

  await expect(clean()).rejects.toThrow("2 of 3 failed");

  expect(await readdir(places.podsDir)).toEqual([]);
  expect((await readdir(places.logsDir)).toSorted()).toEqual(
    [wanted.metadata.uid, unsent.metadata.uid].toSorted(),
  );
});
