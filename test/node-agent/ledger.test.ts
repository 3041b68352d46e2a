import { randomUUID } from "node:crypto";
import { cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { NodeId } from "../../contract/ids.ts";
import { DesiredState } from "../../contract/node/protocol.ts";
import { exec } from "../../kit/exec.ts";
import { openLedger } from "../../node-agent/disk/ledger.ts";
import { aPod } from "../support/pods.ts";

const node = NodeId.parse(randomUUID());
const other = NodeId.parse(randomUUID());
let folder = "";
let path = "";
let mounted = false;
const broken: string[] = [];
const open = () => openLedger(path, (setAside) => broken.push(setAside));
const wish = (generation: number, of = node): DesiredState =>
  DesiredState.parse({ node: of, generation, pods: [aPod()], routes: [] });

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "waybill-test-ledger-"));
  path = join(folder, "ledger.json");
  broken.length = 0;
});
afterEach(async () => {
  if (mounted) await exec("/usr/bin/umount", [folder], { timeoutMs: 5_000 });
  mounted = false;
  await rm(folder, { recursive: true, force: true });
});

test("a wish is on disk before it counts, readable by root only, and found by the next agent", async () => {
  const taken = wish(3);

  expect(await (await open()).accept(taken, node)).toBe("taken");

  expect((await open()).current()).toEqual(taken);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readdir(folder)).toEqual(["ledger.json"]);
});

test("an older wish, or another node's, changes nothing", async () => {
  const ledger = await open();
  await ledger.accept(wish(3), node);

  expect(await ledger.accept(wish(2), node)).toBe("older");
  expect(await ledger.accept(wish(3), node)).toBe("same");
  expect(await ledger.accept(wish(9, other), node)).toBe("foreign");

  expect(ledger.current()?.generation).toBe(3);
  expect((await open()).current()?.generation).toBe(3);
});

test("a node that joined anew goes on with its pods, also over a reboot, until somebody decides", async () => {
  const ledger = await open();
  const [before, empty] = [wish(30), { ...wish(0, other), pods: [] }];
  await ledger.accept(before, node);

  expect(await ledger.accept(empty, other)).toBe("taken");

  expect(ledger.current()).toEqual({ ...before, node: other, generation: 0 });
  const rebooted = await open();
  expect(rebooted.current()).toEqual(ledger.current());
  const decided = { ...empty, generation: 1 };
  expect(await rebooted.accept(decided, other)).toBe("taken");
  expect((await open()).current()).toEqual(decided);
});

test("routes that changed for other nodes are taken, though nobody planned for this one", async () => {
  const ledger = await open();
  const peers = ["10.9.0.2"];

  expect(await ledger.accept({ ...wish(0), pods: [], routing: 2, peers }, node)).toBe("taken");
  expect(await ledger.accept({ ...wish(0), pods: [], routing: 1 }, node)).toBe("older");
  expect(ledger.current()).toMatchObject({ routing: 2, peers });
  expect(await ledger.accept({ ...wish(1), routing: 2 }, node)).toBe("taken");
  expect(await ledger.accept({ ...wish(0), pods: [], routing: 3 }, node)).toBe("older");
});

test("a ledger of the first version is read, with defaults for what came later", async () => {
  await cp(new URL("../golden/first-ledger.json", import.meta.url), path);

  const ledger = await open();

  expect(broken).toEqual([]);
  expect(ledger.current()).toMatchObject({ generation: 7, secrets: [], purgeVolumes: [] });
});

test.each([
  ["nothing", ""],
  ["half a document", '{"node":"'],
  ["another document", '{"pods":[]}'],
  ["a list", "[]"],
  ["zeros", "\0".repeat(4_096)],
  ["garbage", "\u0001\u0002 not JSON"],
])(
  "a ledger that holds %s is set aside, and no wish is better than a wrong one",
  async (_, text) => {
    await writeFile(path, text);

    const ledger = await open();

    expect(ledger.current()).toBeUndefined();
    expect(ledger.trouble()).toContain(`${path}.broken`);
    expect(broken).toEqual([`${path}.broken`]);
    expect(await readFile(`${path}.broken`, "utf8")).toBe(text);
    expect(await ledger.accept(wish(1), node)).toBe("taken");
    expect(ledger.trouble()).toBeUndefined();
  },
);

test("a ledger cut off anywhere is no ledger, and never half a wish", async () => {
  const whole = JSON.stringify(wish(3));
  for (let cut = 0; cut < 20; cut++) {
    await writeFile(path, whole.slice(0, Math.floor((whole.length * cut) / 20)));
    expect((await open()).current()).toBeUndefined();
  }
});

test("on a disk that cannot be written the last wish stays, and a newer one is not taken", async () => {
  const last = wish(3);
  await (await open()).accept(last, node);
  await readOnly();
  const ledger = await open();

  await expect(ledger.accept(wish(4), node)).rejects.toThrow("writing the ledger");

  expect(ledger.current()).toEqual(last);
  expect(ledger.trouble()).toContain("EROFS");
});

test("a broken ledger on a disk that cannot be written is left there, and the agent goes on", async () => {
  await writeFile(path, "{");
  await readOnly();

  const ledger = await open();

  expect(ledger.current()).toBeUndefined();
  expect(broken).toEqual([path]);
});

test("a key of the ingresses that is told later is taken into the same wish, and stays with what runs on", async () => {
  const ingressKey = randomUUID();
  const ledger = await open();
  await ledger.accept(wish(3), node);

  expect(await ledger.accept({ ...wish(3), ingressKey }, node)).toBe("same");
  expect((await open()).current()).toEqual({
    ...wish(3),
    pods: ledger.current()?.pods,
    ingressKey,
  });
  await ledger.accept(wish(3), node);
  await ledger.accept({ ...wish(0, other), pods: [] }, other);

  expect(ledger.current()).toMatchObject({ node: other, ingressKey });
});

test("secrets that were sealed anew replace the older boxes, and nothing else of the same wish", async () => {
  const secret = (sealed: string) => ({ project: "default", name: "key.v1", sealed });
  const first = { ...wish(3), secrets: [secret("aaaa")] };
  const ledger = await open();
  await ledger.accept(first, node);

  await ledger.accept({ ...first, pods: [], secrets: [secret("bbbb")] }, node);

  expect((await open()).current()).toEqual({ ...first, secrets: [secret("bbbb")] });
  await ledger.accept({ ...first, secrets: [] }, node);
  expect(ledger.current()?.secrets).toEqual([secret("bbbb")]);
});

async function readOnly(): Promise<void> {
  await exec("/usr/bin/mount", ["--bind", folder, folder], { timeoutMs: 5_000 });
  mounted = true;
  await exec("/usr/bin/mount", ["-o", "remount,ro,bind", folder], { timeoutMs: 5_000 });
}
