import { readFile } from "node:fs/promises";
import { sql } from "drizzle-orm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { forgetOldLogs } from "../../../db/streams/logs.ts";
import type { TestApi } from "../../support/api.ts";
import { eventually } from "../../support/eventually.ts";
import { type RealNode, startRealNode } from "../../support/real-node.ts";

let node: RealNode;
let api: TestApi;

beforeAll(async () => {
  node = await startRealNode();
  api = node.api;
}, 90_000);
afterAll(() => node?.[Symbol.asyncDispose](), 60_000);

const text = async (app: string, query = "?tail=all") =>
  (await api.ask(`/v1/apps/${app}/logs${query}`)).text;

/** Waits until the app's log holds this. */
const until = (app: string, wanted: string | RegExp, withinMs = 15_000) =>
  eventually(async () => expect(await text(app)).toMatch(wanted), { withinMs });

async function rssMib(): Promise<number> {
  const status = await readFile(`/proc/${node.agentPid()}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
}

test("words arrive as they are said, and once, also when the agent is killed and comes back", async () => {
  await node.place("count", {
    script: "n=0; while :; do echo line $n; n=$((n+1)); sleep 0.05; done",
  });
  await until("count", /line 5\n/);
  for (let kill = 0; kill < 3; kill++) {
    await node.endAgent("SIGKILL");
    await node.startAgent();
    const seen = (await text("count")).split("\n").length;
    await until("count", new RegExp(`line ${seen + 20}\n`));
  }

  const lines = (await text("count")).trimEnd().split("\n");
  expect(lines).toEqual(lines.map((_, nr) => `line ${nr}`));
}, 90_000);

test("the last words of a pod can be read when it is gone", async () => {
  const pod = await node.place("brief", {
    script: "trap 'echo goodbye; exit 0' TERM; echo hello; while :; do sleep 0.1; done",
    spec: { terminationGracePeriodSeconds: 5 },
  });
  await until("brief", "hello");

  await node.remove(pod);

  await until("brief", "hello\ngoodbye\n");
}, 60_000);

test("what a container said before it crashed is the previous instance's", async () => {
  await node.place("crash", {
    script: "echo start $RANDOM; [ -e /tmp/again ] || { sleep 1; exit 1; }; sleep 100000",
  });
  await eventually(
    async () => expect(await text("crash", "?tail=all&previous=true")).toMatch(/^start \d*\n$/),
    { withinMs: 20_000 },
  );
}, 60_000);

test("a line of 10 MB is cut, and binary is made text", async () => {
  await node.place("odd", {
    script:
      "dd if=/dev/zero bs=1M count=10 2>/dev/null | busybox tr '\\0' x; echo; dd if=/dev/urandom bs=2000 count=1 2>/dev/null; echo; echo end; sleep 100000",
  });

  await eventually(async () => {
    const tails = (await text("odd")).split("\n").map((it) => it.slice(-40));
    expect(tails).toContain("end");
  });
  const lines = (await text("odd")).trimEnd().split("\n");
  expect(lines[0]).toMatch(/^x{16000,}…$/);
  expect(lines.at(-1)).toBe("end");
  expect(lines.join("")).not.toMatch(/(?!\t)\p{Cc}/u);
}, 60_000);

describe("a flood", () => {
  test("is capped and counted, and holds no other log up", async () => {
    await node.place("quiet", {
      script: "n=0; while :; do echo tick $n; n=$((n+1)); sleep 0.2; done",
    });
    await until("quiet", "tick 0");
    const flood = await node.place("flood", { script: "sleep 1; busybox yes; sleep 1000" });
    await until("flood", /lines dropped: more than 256 KiB\/s/, 30_000);

    const lags: number[] = [];
    for (let look = 0; look < 5; look++) {
      const answer = await api.ask("/v1/apps/quiet/logs?tail=1", {
        headers: { accept: "application/x-ndjson" },
      });
      lags.push(Date.now() - Date.parse(JSON.parse(answer.text).at));
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    const rss = await rssMib();
    const [row] = await api.db.execute<{ dropped: number; kept: number }>(
      sql`select sum(dropped)::int as dropped, sum(jsonb_array_length(lines))::int as kept
          from log_chunks where pod_id = ${flood.metadata.uid}`,
    );
    await node.remove(flood);

    console.log(`lag ${Math.max(...lags)} ms, agent ${rss.toFixed(0)} MiB`, row);
    expect(Math.max(...lags)).toBeLessThan(5_000);
    expect(rss).toBeLessThan(200);
    expect(row?.dropped).toBeGreaterThan(row?.kept ?? 0);
  }, 90_000);

  test("takes no more than its share of the database", async () => {
    await forgetOldLogs(api.db, { bytesPerApp: 100_000, days: 7 });

    const [row] = await api.db.execute<{ bytes: number }>(
      sql`select max(bytes)::int as bytes from (
            select sum(size_bytes) as bytes from log_chunks group by app_id) sizes`,
    );
    // Others go on writing meanwhile.
    expect(row?.bytes).toBeLessThan(500_000);
  });
});
