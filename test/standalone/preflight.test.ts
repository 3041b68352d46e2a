import { expect, test } from "vitest";
import { type Facts, problemsOf, rightsProblem } from "../../standalone/preflight.ts";

const GIB = 1024 ** 3;

function facts(changes: Partial<Facts> = {}): Facts {
  return {
    role: "installation",
    dataDir: "/srv/waybill",
    dataFolder: "absent",
    alone: true,
    otherPid: undefined,
    freeMemoryBytes: 4 * GIB,
    freeDiskBytes: 50 * GIB,
    ports: [
      { port: 7070, host: "127.0.0.1", variable: "WAYBILL_API_PORT", state: "free" },
      { port: 8080, host: "0.0.0.0", variable: "WAYBILL_HTTP_PORT", state: "free" },
    ],
    missingPrograms: [],
    ...changes,
  };
}

test.each(["absent", "empty", "ours"] as const)(
  "a fit machine with the data folder %s may start",
  (dataFolder) => {
    expect(problemsOf(facts({ dataFolder }))).toEqual([]);
  },
);

test("a user who is not root is told so before anything is looked at", () => {
  expect(rightsProblem(0)).toBeUndefined();
  expect(rightsProblem(1000)).toBe(
    "Waybill needs root, because it runs containers and their network: start it as root.",
  );
});

test("everything that is wrong is said at once, a sentence each", () => {
  const problems = problemsOf(
    facts({
      dataFolder: "foreign",
      freeMemoryBytes: GIB / 2,
      freeDiskBytes: GIB,
      ports: [{ port: 8080, host: "0.0.0.0", variable: "WAYBILL_HTTP_PORT", state: "busy" }],
      missingPrograms: ["/usr/bin/caddy"],
    }),
  );

  expect(problems).toEqual([
    "The data folder /srv/waybill holds files that are not Waybill's: choose another one with WAYBILL_DATA_DIR.",
    "Port 8080 is taken by another program: choose another one with WAYBILL_HTTP_PORT.",
    "Only 512 MiB of memory are free, and 1024 MiB are needed: stop something, or take a larger machine.",
    "Only 1024 MiB are free on the disk of /srv/waybill, and 3072 MiB are needed: make room, or choose another disk with WAYBILL_DATA_DIR.",
    'These programs are missing: /usr/bin/caddy. "sh standalone/setup.sh" installs them.',
  ]);
});

test("a port that a part of this installation still holds is not in the way", () => {
  const ports = [
    { port: 8080, host: "0.0.0.0", variable: "WAYBILL_HTTP_PORT", state: "ours" },
  ] as const;

  expect(problemsOf(facts({ dataFolder: "ours", ports }))).toEqual([]);
});

test("a machine that its apps fill up can still bring the control plane back", () => {
  const full = { freeMemoryBytes: GIB / 2, freeDiskBytes: GIB };

  expect(problemsOf(facts({ ...full, dataFolder: "ours" }))).toEqual([]);
  expect(problemsOf(facts({ ...full, dataFolder: "empty" }))).toHaveLength(2);
});

test("a second start for the same data folder names the first one", () => {
  expect(problemsOf(facts({ dataFolder: "ours", alone: false, otherPid: 4711 }))).toEqual([
    "Waybill (process 4711) is already running for the data folder /srv/waybill.",
  ]);
});

test("an address of another machine is named", () => {
  const ports = [
    { port: 7070, host: "192.0.2.9", variable: "WAYBILL_API_PORT", state: "no-such-address" },
  ] as const;

  expect(problemsOf(facts({ ports }))).toEqual([
    "192.0.2.9 is no address of this machine: choose another one with WAYBILL_API_HOST.",
  ]);
});
