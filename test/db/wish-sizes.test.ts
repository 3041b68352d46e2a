import { eq, sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { AppId, Digest, ReleaseId } from "../../contract/ids.ts";
import { MAX_WISH_BYTES, MIB } from "../../contract/node/wish-size.ts";
import { readFleet } from "../../db/nodes/fleet.ts";
import { events } from "../../db/schema/history.ts";
import { scheduleApp } from "../../worker/schedule/run.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { aDigest, aReport, built } from "../support/declared.ts";
import { joined } from "../support/joined.ts";
import { aConfigMap, aPodDocument, apply, aSecret } from "../support/materials.ts";

const almostAMib = "x".repeat(MIB - 1_000);
const asFiles = (configMaps: readonly string[], secrets: readonly string[] = []) => ({
  volumes: [
    ...configMaps.map((name) => ({ name, configMap: { name } })),
    ...secrets.map((secretName) => ({ name: secretName, secret: { secretName } })),
  ],
});

/** Every release that waits to be built is, and its app is scheduled. */
async function rollOut(api: TestApi): Promise<void> {
  const waiting = await api.db.execute<{ id: string; app: string }>(
    sql`select id, app_id as app from releases where phase = 'pending' order by created_at`,
  );
  for (const { id, app } of waiting) {
    const declared = { release: ReleaseId.parse(id), app: AppId.parse(app) };
    const images = { [`base/tool@${aDigest("c")}`]: `base/tool@${aDigest("c")}` };
    await built(api.db, declared as never, Digest.parse(aDigest("d")), { images });
    await scheduleApp(api.db, declared.app);
  }
}

test("a pod whose configuration would take too much of an answer is refused, with what is how large", async () => {
  await using api = await startApi();
  const maps = ["a", "b", "c"].map((name) => aConfigMap(name, { text: almostAMib }));
  const fits = aPodDocument("shop", {}, asFiles(["a", "b", "c"]));
  const tooMuch = aPodDocument("shop", {}, asFiles(["a", "b", "c"], ["keys"]));

  expect((await apply(api, maps)).status).toBe(200);
  expect((await apply(api, [fits])).status).toBe(200);
  for (const query of ["?dryRun=true", ""]) {
    const secret = aSecret("keys", { text: almostAMib });
    const answer = await apply(api, [secret, tooMuch], { query });

    expect(answer.status, query).toBe(422);
    expect(answer.body.errors).toEqual([
      {
        pointer: "/1/spec",
        message: expect.stringMatching(
          /^a pod with all that it names would send its node 4\.7\d MiB, and 4 MiB are the most: its own text is 0\.01 MiB, the Secret "keys" 1\.7\d MiB, the ConfigMap "a" 1 MiB, /,
        ),
      },
    ]);
  }
});

test("what a node is told stays within one answer, and who has to wait for that is told so", async () => {
  await using api = await startApi();
  const { node, token } = await joined(api);
  const report = { method: "POST", token, json: aReport([]) };
  expect((await api.ask("/v1/node/report", report)).status).toBe(204);
  for (const app of ["one", "two", "three", "four", "five", "six"]) {
    const maps = [1, 2, 3].map((at) => aConfigMap(`${app}-${at}`, { text: almostAMib }));
    expect((await apply(api, maps)).status).toBe(200);
    const names = maps.map(({ metadata }) => metadata.name);
    const document = aPodDocument(app, {}, asFiles(names));
    expect((await apply(api, [document])).status).toBe(200);
  }

  await rollOut(api);

  const wish = await api.ask("/v1/node/desired", { token });
  const { nodes } = await readFleet(api.db, []);
  const size = nodes.find((it) => it.id === node)?.wish;
  expect(wish.body.pods).toHaveLength(5);
  expect(size).toMatchObject({ pods: 5 });
  expect(size?.materials.size).toBe(15);
  expect(wish.text.length).toBeLessThan(size?.bytes ?? 0);
  expect(size?.bytes).toBeLessThan(MAX_WISH_BYTES);
  const waits = await api.db.select().from(events).where(eq(events.type, "pod-waiting"));
  expect(waits.map(({ message }) => message)).toEqual([
    expect.stringContaining("would take 18 MiB of at most 16 MiB"),
  ]);
});
