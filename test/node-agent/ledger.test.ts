import { randomUUID } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { NodeId } from "../../contract/ids.ts";
import { openLedger } from "../../node-agent/ledger.ts";
import { aPod } from "../support/pods.ts";

const node = NodeId.parse(randomUUID());
const other = NodeId.parse(randomUUID());
let folder = "";
let path = "";
const broken: string[] = [];
const open = () => openLedger(path, (setAside) => broken.push(setAside));
const wish = (generation: number, of = node) => ({
  node: of,
  generation,
  pods: [aPod()],
  routes: [],
});

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "waybill-test-ledger-"));
  path = join(folder, "ledger.json");
  broken.length = 0;
});
afterEach(() => rm(folder, { recursive: true, force: true }));

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

test.each([
  ["nothing", ""],
  ["half a document", '{"node":"'],
  ["another document", '{"pods":[]}'],
  ["garbage", "\0\0\0\0"],
])(
  "a ledger that holds %s is set aside, and no wish is better than a wrong one",
  async (_, text) => {
    await writeFile(path, text);

    const ledger = await open();

    expect(ledger.current()).toBeUndefined();
    expect(broken).toEqual([`${path}.broken`]);
    expect(await readFile(`${path}.broken`, "utf8")).toBe(text);
    expect(await ledger.accept(wish(1), node)).toBe("taken");
  },
);
