import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { text as streamText } from "node:stream/consumers";
import { sql } from "drizzle-orm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { beginSession } from "../../api/exec/session.ts";
import type { AppId } from "../../contract/ids.ts";
import { podsForExec } from "../../db/streams/execs.ts";
import { aToken, type TestApi } from "../support/api.ts";
import { eventually } from "../support/eventually.ts";
import { type RealNode, startRealNode } from "../support/real-node.ts";
import { openTerminal } from "../support/terminal.ts";

let node: RealNode;
let api: TestApi;

beforeAll(async () => {
  node = await startRealNode();
  api = node.api;
  await node.place("shop", { script: "echo ready; sleep 100000" });
}, 90_000);
afterAll(() => node?.[Symbol.asyncDispose](), 60_000);

const exec = (command: readonly string[], more: object = {}) =>
  api.ask("/v1/apps/shop/exec", { method: "POST", json: { command, ...more } });

/** Command lines on this host that hold the word. */
async function running(word: string): Promise<readonly string[]> {
  const lines = await Promise.all(
    (await readdir("/proc"))
      .filter((it) => /^\d+$/.test(it))
      .map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")),
  );
  return lines.map((it) => it.replaceAll("\0", " ")).filter((it) => it.includes(word));
}

const sessions = async () => (await api.db.execute(sql`select id from exec_sessions`)).length;

describe("a command and its answer", () => {
  test("tells both outputs and the exit code", async () => {
    const answer = await exec(["sh", "-c", "echo out; echo err >&2; exit 3"]);

    expect(answer.text).toBe('{"stdout":"out\\n","stderr":"err\\n","exitCode":3}');
    expect(await sessions()).toBe(0);
  });

  test("reads its input to the end", async () => {
    const answer = await exec(["cat"], { stdin: "ä line\nand more" });

    expect(answer.body).toEqual({ stdout: "ä line\nand more", stderr: "", exitCode: 0 });
  });

  test("gives back half a megabyte as it came", async () => {
    const stdin = "0123456789abcde\n".repeat(32_000);
    const answer = await exec(["cat"], { stdin });

    expect(answer.body.stdout === stdin).toBe(true);
  });

  test("cuts what is longer than a MiB, and says so", async () => {
    const answer = await exec(["sh", "-c", "dd if=/dev/zero bs=1M count=4 2>/dev/null; exit 7"]);

    expect(answer.body.stdout).toHaveLength(1024 * 1024);
    expect(answer.body).toMatchObject({ cut: true, exitCode: 7 });
  });

  test("is killed with all that it started when its time is up", async () => {
    const startedAtMs = Date.now();
    const answer = await exec(["sh", "-c", "echo begun; sleep 54321 & sleep 54321"], {
      timeoutSeconds: 1,
    });

    expect(answer.status).toBe(504);
    expect(answer.body).toMatchObject({ type: "/problems/exec-timeout", stdout: "begun\n" });
    expect(Date.now() - startedAtMs).toBeLessThan(5_000);
    expect(await running("sleep 54321")).toEqual([]);
  });

  test("that does not exist is said in the runtime's words", async () => {
    const answer = await exec(["nope", "--please"]);

    expect(answer.status).toBe(422);
    expect(answer.body).toMatchObject({ type: "/problems/exec-not-started" });
    expect(answer.body.detail).toBe('exec: "nope": executable file not found in $PATH');
  });

  test("ends when whoever asked goes away", async () => {
    const asked = new AbortController();
    const answer = fetch(`${api.url}/v1/apps/shop/exec`, {
      method: "POST",
      headers: { authorization: `Bearer ${api.token}`, "content-type": "application/json" },
      body: JSON.stringify({ command: ["sleep", "65432"] }),
      signal: asked.signal,
    }).catch(() => undefined);
    await eventually(async () => expect(await running("sleep 65432")).toHaveLength(1));

    asked.abort();
    await answer;

    await eventually(async () => expect(await running("sleep 65432")).toEqual([]));
    await eventually(async () => expect(await sessions()).toBe(0));
  });

  test("is refused with a reason when it cannot be placed or understood", async () => {
    const container = await exec(["id"], { container: "nope" });
    const pod = await exec(["id"], { pod: "shop-9" });
    const bad = await exec([], { timeoutSeconds: 0, user: "root" });
    const none = await api.ask("/v1/apps/nope/exec", { method: "POST", json: { command: ["id"] } });

    expect([container.status, pod.status, bad.status, none.status]).toEqual([422, 422, 422, 404]);
    expect(container.body.errors).toEqual([
      { pointer: "/container", message: 'shop-1 has no container "nope"; it has web' },
    ]);
    expect(bad.body.errors.map((it: { pointer: string }) => it.pointer).sort()).toEqual([
      "/command",
      "/timeoutSeconds",
      "/user",
    ]);
  });

  test("is on record with its program, and without its arguments", async () => {
    await exec(["echo", "hunter2"]);

    const rows = await api.db.execute<{ object: string }>(
      sql`select object from audit where action = 'app.exec' order by at desc limit 1`,
    );
    expect(rows[0]?.object).toBe("app:shop pod:shop-1 container:web echo");
  });

  test("needs a token that may deploy, and no node but the pod's own hears of it", async () => {
    const reader = await aToken(api.db, {
      kind: "personal",
      project: api.project,
      scopes: ["app:read"],
    });
    const stranger = await aToken(api.db, { kind: "node", project: api.project, node: "other" });
    await api.db.execute(sql`insert into nodes (name) values ('other') on conflict do nothing`);
    const refused = await api.ask("/v1/apps/shop/exec", {
      method: "POST",
      token: reader,
      json: { command: ["id"] },
    });
    const slow = exec(["sleep", "2"]);
    const id = await eventually(async () => {
      const [row] = await api.db.execute<{ id: string }>(sql`select id from exec_sessions`);
      return row?.id ?? Promise.reject(new Error("no session"));
    });

    const input = await api.ask(`/v1/node/execs/${id}/input?waitMs=0`, { token: stranger });
    const output = await api.ask(`/v1/node/execs/${id}/output`, {
      method: "POST",
      token: stranger,
      json: { first: 1, frames: [], exit: { exitCode: 66 } },
    });
    const work = await api.ask("/v1/node/execs?waitMs=0", { token: stranger });

    expect([refused.status, input.status, output.status]).toEqual([403, 404, 404]);
    expect(work.body).toEqual({ sessions: [] });
    expect((await slow).body.exitCode).toBe(0);
  });
});

describe("a terminal", () => {
  const open = (query: string, token: string | null = api.token, protocols?: string[]) =>
    openTerminal(`${api.url}/v1/apps/shop/exec?${query}`, token, protocols);
  const shell = "command=sh&tty=true";

  test("shows what is typed and answers within moments", async () => {
    using terminal = await open(shell);
    await terminal.until("# ");

    terminal.send(0, "echo $((6*7))\n");
    await terminal.until("42");
    const took: number[] = [];
    for (let key = 0; key < 10; key++) {
      terminal.send(0, String.fromCharCode(65 + key));
      took.push(await terminal.until("ABCDEFGHIJ".slice(0, key + 1)));
    }

    const [median = 0] = took.sort((a, b) => a - b).slice(5);
    console.log(`a key stroke: ${median.toFixed(1)} ms`);
    expect(median).toBeLessThan(200);
  });

  test("knows its size, and hears of another one", async () => {
    using terminal = await open("command=sh&tty=true");
    await terminal.until("# ");
    terminal.send(4, '{"Width":111,"Height":33}');
    terminal.send(0, "busybox stty size\n");
    await terminal.until("33 111");
    terminal.send(4, '{"Width":77,"Height":22}');
    terminal.send(0, "busybox stty size\n");
    await terminal.until("22 77");
  });

  test("ends with its command, and says how", async () => {
    using terminal = await open(shell);
    terminal.send(0, "exit 5\n");

    expect(await terminal.closed).toBe(1000);
    expect(JSON.parse(terminal.said(3))).toMatchObject({
      status: "Failure",
      reason: "NonZeroExitCode",
      details: { causes: [{ reason: "ExitCode", message: "5" }] },
    });
    await eventually(async () => expect(await sessions()).toBe(0));
  });

  test("without a terminal has two outputs, and input that ends", async () => {
    using terminal = await open(
      "command=sh&command=-c&command=cat;echo%20err%20%3E%262",
      api.token,
      ["v5.channel.k8s.io", "v4.channel.k8s.io"],
    );
    terminal.send(0, "one\n");
    terminal.send(255, "\0");

    expect(await terminal.closed).toBe(1000);
    expect(terminal.protocol).toBe("v5.channel.k8s.io");
    expect([terminal.said(1), terminal.said(2)]).toEqual(["one\n", "err\n"]);
    expect(JSON.parse(terminal.said(3)).status).toBe("Success");
  });

  test("that is closed leaves nothing running and nothing stored", async () => {
    using terminal = await open(shell);
    terminal.send(0, "sleep 43210\n");
    await eventually(async () => expect(await running("sleep 43210")).toHaveLength(1));

    terminal.close();

    await eventually(async () => expect(await running("sleep 43210")).toEqual([]));
    await eventually(async () => expect(await sessions()).toBe(0));
  });

  test("is closed soon after its token is revoked", async () => {
    const guest = await aToken(api.db, { kind: "personal", project: api.project });
    using terminal = await open(shell, guest);
    await terminal.until("# ");

    await api.db.execute(
      sql`update tokens set revoked_at = now() where id = ${guest.slice(4, 14)}`,
    );

    expect(await terminal.closed).toBe(1000);
    expect(JSON.parse(terminal.said(3)).message).toContain("token");
  });

  test("is refused as any other request", async () => {
    await expect(open(shell, null)).rejects.toThrow("401");
    await expect(open("command=sh&color=red")).rejects.toThrow("422");
    await expect(open(`${shell}&container=nope`)).rejects.toThrow("422");
    expect((await api.ask("/v1/apps/shop/exec?command=sh")).status).toBe(426);
  });

  test("that nobody reads holds neither the agent nor the api up", async () => {
    using terminal = await open(
      "command=sh&command=-c&command=while%20:;do%20echo%20yyyyyyyy;done",
    );
    await terminal.until("yyyyyyyy");

    const answer = await exec(["echo", "still there"]);

    expect(answer.body.stdout).toBe("still there\n");
  });
});

describe("npm run exec", () => {
  async function client(words: readonly string[], input = "", env: object = {}) {
    const main = join(import.meta.dirname, "../../standalone/exec.ts");
    const child = spawn(process.execPath, [main, ...words], {
      env: { WAYBILL_URL: api.url, WAYBILL_TOKEN: api.token, ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    child.stdin.end(input);
    const [stdout, stderr, [code]] = await Promise.all([
      streamText(child.stdout),
      streamText(child.stderr),
      once(child, "exit"),
    ]);
    return { stdout, stderr, code };
  }

  test("gives the command's outputs and its exit code", async () => {
    const ran = await client(["shop", "--", "sh", "-c", "echo out; echo err >&2; exit 4"]);

    expect(ran).toEqual({ stdout: "out\n", stderr: "err\n", code: 4 });
  });

  test("pipes all of its input through", async () => {
    const input = "0123456789abcde\n".repeat(20_000);

    const ran = await client(["shop", "-i", "--", "cat"], input);

    expect(ran.code).toBe(0);
    expect(ran.stdout === input).toBe(true);
  });

  test("says why it was refused", async () => {
    const unknown = await client(["nope", "--", "id"]);
    const stranger = await client(["shop", "--", "id"], "", { WAYBILL_TOKEN: "wbp_nope" });
    const words = await client(["shop"]);

    expect([unknown.code, stranger.code, words.code]).toEqual([255, 255, 2]);
    expect(unknown.stderr).toContain('no app named "nope"');
    expect(stranger.stderr).toContain("token");
    expect(words.stderr).toContain("which command?");
  });
});

test("a command that nobody attends any more, as when the api was killed, is ended and forgotten", async () => {
  const [target] = await podsForExec(api.db, (await appRow()).id);
  if (!target) throw new Error("no pod");
  const wish = { command: ["sleep", "87654"], tty: false, stdin: false, timeoutSeconds: 600 };
  await api.db.transaction(async (tx) => {
    const place = { candidate: target, container: "web" };
    await beginSession(tx, { app: (await appRow()).id, target: place, wish });
  });
  await eventually(async () => expect(await running("sleep 87654")).toHaveLength(1));

  await eventually(async () => expect(await running("sleep 87654")).toEqual([]), {
    withinMs: 30_000,
  });
  await eventually(async () => expect(await sessions()).toBe(0));
}, 60_000);

async function appRow() {
  const [row] = await api.db.execute<{ id: AppId }>(sql`select id from apps where name = 'shop'`);
  return row ?? Promise.reject(new Error("no app"));
}

describe("an agent that is killed", () => {
  test("ends what it ran, for the person within seconds, and in the container when it is back", async () => {
    const startedAtMs = Date.now();
    const answer = exec(["sleep", "76543"]);
    await eventually(async () => expect(await running("sleep 76543")).toHaveLength(1));

    await node.endAgent("SIGKILL");
    const { status, body } = await answer;
    await node.startAgent();

    expect(status).toBe(502);
    expect(body).toMatchObject({ type: "/problems/exec-cut-off" });
    expect(Date.now() - startedAtMs).toBeLessThan(30_000);
    await eventually(async () => expect(await running("sleep 76543")).toEqual([]));
    const again = await eventually(async () => {
      const { body } = await exec(["echo", "back"]);
      return body.stdout === "back\n" ? body : Promise.reject(new Error(JSON.stringify(body)));
    });
    expect(again.exitCode).toBe(0);
  }, 60_000);
});
