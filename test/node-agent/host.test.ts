import { randomUUID } from "node:crypto";
import { mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { PodId } from "../../contract/ids.ts";
import { PodStatus } from "../../contract/node/protocol.ts";
import type { PortRange } from "../../contract/pod/host-policy.ts";
import { exec } from "../../kit/exec.ts";
import { startPod } from "../../node-agent/act/start-pod.ts";
import { orphans, staleLogs } from "../../node-agent/clean/clean-plan.ts";
import { placesIn } from "../../node-agent/disk/places.ts";
import { capacity } from "../../node-agent/host/capacity.ts";
import { cpuShares, cpuWeight } from "../../node-agent/host/cpu-weight.ts";
import { refuseHostPorts } from "../../node-agent/host/host-ports.ts";
import { logTail, wordsIn } from "../../node-agent/host/log-tail.ts";
import { parseMounts } from "../../node-agent/host/mounts.ts";
import { dnsConfig, hostDns } from "../../node-agent/host/resolv-conf.ts";
import { rotateLogs } from "../../node-agent/logs/rotate.ts";
import { planNode } from "../../node-agent/plan/plan.ts";
import { someHands } from "../support/hands.ts";
import { openMemoryRuntime } from "../support/memory-runtime.ts";
import { aPod } from "../support/pods.ts";
import { aContainer, aPodOf, aSandbox, aWorld } from "./a-world.ts";

const CGROUPS = join(import.meta.dirname, "../../node-agent/host/cgroups.ts");

test("the lines of a log are the container's own, joined where the runtime cut them, and harmless", () => {
  const at = "2026-01-01T00:00:00.000000000Z";

  const lines = [
    `${at} stdout F plain`,
    `${at} stderr P half `,
    `${at} stdout F between`,
    `${at} stderr F and half`,
    `${at} stdout F \u001b]52;c;ZXZpbA==\u0007tab\there`,
    "not a log line",
    `${at} stdout P unfinished\0`,
  ];

  expect(wordsIn(Buffer.from(`${lines.join("\n")}\n`))).toEqual([
    "plain",
    "between",
    "half and half",
    "]52;c;ZXZpbA==tab    here",
    "unfinished",
  ]);
});

test("a line is as long as a report takes, whatever it is made of, and ends with a whole character", () => {
  const said = [
    "\t".repeat(2_000),
    `${"x".repeat(1_999)}🦀`,
    "\0".repeat(3_000),
    "é".repeat(3_000),
  ];
  const split = Buffer.from(said.map((it) => `2026-01-01T00:00:00Z stdout F ${it}\n`).join(""));
  const cut = Buffer.concat([
    Buffer.from("2026-01-01T00:00:00Z stdout P caf"),
    Buffer.from("é").subarray(0, 1),
    Buffer.from("\n2026-01-01T00:00:00Z stdout F "),
    Buffer.from("é").subarray(1),
    Buffer.from("\n"),
  ]);

  const lines = wordsIn(Buffer.concat([split, cut]));

  expect(lines).toEqual([" ".repeat(2_000), "x".repeat(1_999), "", "é".repeat(2_000), "café"]);
  PodStatus.shape.logTail.parse(lines);
});

test("the tail of a huge log is read from its end", async () => {
  const folder = await mkdtemp(join(tmpdir(), "waybill-test-log-"));
  try {
    const line = (nr: number) => `2026-01-01T00:00:00Z stdout F line ${nr} ${"x".repeat(100)}`;
    const file = join(folder, "web.0.log");
    await writeFile(file, `${Array.from({ length: 20_000 }, (_, nr) => line(nr)).join("\n")}\n`);

    const tail = await logTail(file, 20);

    expect(tail).toHaveLength(20);
    expect(tail.at(-1)).toMatch(/^line 19999 /);
    expect(await logTail(join(folder, "none.log"), 20)).toEqual([]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("a resolver on the host's loopback is no resolver for a pod", () => {
  expect(dnsConfig("nameserver 127.0.0.53\n")).toBeUndefined();
  expect(
    dnsConfig("# x\nsearch a b\nnameserver 10.1.1.1\nnameserver ::1\noptions ndots:2 edns0\n"),
  ).toEqual({
    servers: ["10.1.1.1"],
    searches: ["a", "b"],
    options: ["ndots:2", "edns0"],
  });
});

test("where the host asks itself, pods ask whom it asks", async () => {
  const folder = await mkdtemp(join(tmpdir(), "waybill-test-dns-"));
  try {
    const [own, resolved] = [join(folder, "resolv.conf"), join(folder, "resolved.conf")];
    await writeFile(own, "nameserver 127.0.0.53\noptions edns0\nsearch home\n");
    await writeFile(resolved, "nameserver 10.1.1.1\nsearch home\n");

    const missing = join(folder, "missing");
    expect(hostDns([own, missing])).toBeUndefined();
    expect(hostDns([missing, own, resolved])).toEqual({
      servers: ["10.1.1.1"],
      searches: ["home"],
      options: [],
    });
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("a pod gets no port of the host but those that this node's operator allows", async () => {
  const runtime = openMemoryRuntime([]);
  const pod = aPod({ container: { ports: [{ containerPort: 80, hostPort: 8080 }] } });
  const [step] = planNode(aWorld([pod], []));
  if (step?.do !== "start-pod") throw new Error("it is not started");
  const places = placesIn("/nowhere", "/waybill-test-of-nothing");
  const start = (hostPorts: readonly PortRange[]) =>
    startPod(someHands({ runtime, places, hostPorts }), step, new AbortController().signal);

  await expect(start([])).rejects.toThrow(
    "host-ports: the hostPort 8080 is not allowed; the operator of this node allows none",
  );
  await expect(start([{ from: 9_000, to: 9_100 }])).rejects.toThrow("allows 9000-9100");
  expect((await runtime.list()).sandboxes).toEqual([]);
  expect(() => refuseHostPorts(pod, [{ from: 8_000, to: 8_080 }])).not.toThrow();
});

test("mount points are read as they are written, spaces and all", () => {
  const row = (path: string, way: string) =>
    `36 35 98:0 /root ${path} ${way},noatime master:1 - tmpfs waybill rw`;

  expect(parseMounts(`${row("/a", "rw")}\n${row("/a/b\\040c", "ro")}\n`)).toEqual([
    { path: "/a", readOnly: false },
    { path: "/a/b c", readOnly: true },
  ]);
});

test("who requests more cpu weighs more, and one cpu as much as a group that was told nothing, with both kinds of cgroups", () => {
  const weights = [0, 100, 1_000, 2_000, 1_000_000].map((it) => [cpuShares(it), cpuWeight(it)]);

  expect(weights).toEqual([
    [2, 1],
    [102, 10],
    [1_024, 100],
    [2_048, 200],
    [262_144, 10_000],
  ]);
});

test("a node offers what its operator says, else what it has less a reserve", () => {
  const host = { cpus: 2, memoryBytes: 4 * 1024 ** 3 };

  expect(capacity(host, { cpu: undefined, memory: undefined })).toEqual({
    cpuMillis: 2_000,
    memoryBytes: 3.5 * 1024 ** 3,
    pods: 110,
  });
  expect(capacity(host, { cpu: "500m", memory: "1Gi" })).toMatchObject({
    cpuMillis: 500,
    memoryBytes: 1024 ** 3,
  });
});

test("the logs of the last two starts are kept, and nothing that is not a log is touched", () => {
  const files = ["web.0.log", "web.0.log.0", "web.1.log", "web.2.log", "web.2.log.99", "notes.txt"];

  expect(staleLogs(files)).toEqual(["web.0.log", "web.0.log.0"]);
  expect(orphans(["a", "b"], new Set(["a"]))).toEqual(["b"]);
});

test("a log's rotation that was cut off goes on in the next turn, so that no log grows unseen", async () => {
  const folder = await mkdtemp(join(tmpdir(), "waybill-test-rotation-"));
  try {
    const places = placesIn(folder, "/waybill-x");
    const pod = PodId.parse(randomUUID());
    const file = join(places.logDir(pod), "web.0.log");
    await mkdir(places.logDir(pod), { recursive: true });
    await writeFile(file, "");
    await truncate(file, 33 * 1024 * 1024);
    let asked = 0;
    const reopenLog = async () => {
      asked += 1;
      if (asked === 1) throw new Error("the runtime is away");
      await writeFile(file, "");
    };
    const turn = () =>
      rotateLogs({
        runtime: { reopenLog },
        places,
        seen: () => [aSandbox(aPodOf({}), { pod, containers: [aContainer({ name: "web" })] })],
      });

    await expect(turn()).rejects.toThrow("1 of 1 failed");
    await turn();
    await turn();

    expect(asked).toBe(2);
  } finally {
    await rm(folder, { recursive: true });
  }
});

/** What of `pids` is there afterwards, on a host that may write to no other hierarchy. */
async function groupsAfter(calls: string): Promise<string> {
  const script = `import { ensurePodCgroup, removeCgroup } from ${JSON.stringify(CGROUPS)}; ${calls}`;
  const argv = [process.execPath, "--input-type=module", "--eval", script];
  const shell = [
    "mount -t tmpfs tmpfs /sys/fs/cgroup",
    "mkdir /sys/fs/cgroup/cpu /sys/fs/cgroup/pids",
    "mount -t tmpfs tmpfs /sys/fs/cgroup/pids",
    "mount -o remount,ro /sys/fs/cgroup",
    '"$@"',
    "cd /sys/fs/cgroup/pids",
    "find . -mindepth 1",
  ];
  const words = ["--mount", "sh", "-ec", shell.join("\n"), "sh", ...argv];
  return (await exec("/usr/bin/unshare", words, { timeoutMs: 15_000 })).stdout;
}

test("a pod is bounded on a host that takes no weights, and its group removed where hierarchies may only be read", async () => {
  const bounded = 'await ensurePodCgroup("/waybill-x/pod", { cpuMillis: 100 });';

  expect(await groupsAfter(bounded)).toBe(
    "./waybill-x\n./waybill-x/pod\n./waybill-x/pod/pids.max\n",
  );
  const emptied =
    'await (await import("node:fs/promises")).rm("/sys/fs/cgroup/pids/waybill-x/pod/pids.max");';
  expect(await groupsAfter(`${bounded} ${emptied} await removeCgroup("/waybill-x");`)).toBe("");
});
