import fc from "fast-check";
import { expect, test } from "vitest";
import type { Pod } from "../../contract/pod/pod.ts";
import type { SeenSandbox } from "../../node-agent/observe.ts";
import { type Role, rolesOf } from "../../node-agent/plan/kinds.ts";
import { nextLookAtMs } from "../../node-agent/plan/plan-look.ts";
import { aContainer, aPodOf, aSandbox, fp, uidOf } from "./a-world.ts";
import {
  aLiveWorld,
  dies,
  type Fates,
  type LiveWorld,
  ofPod,
  passes,
  worldOf,
} from "./a-world-lives.ts";
import { type Event, happens, statusesOf, turn } from "./a-world-turns.ts";

/*
 * Thousands of random hosts on which everything happens at any time, in two moods: what is started
 * works in the end, and what is started never does.
 */

const UIDS = [0, 1, 2].map((at) => `00000000-0000-4000-8000-00000000000${at}`);
const TURNS_TO_REST = 120;

const probes = fc.subarray(["startup", "readiness", "liveness"] as const);
const hook = fc.boolean();
const somePod = (uid: string) =>
  fc
    .record({
      policy: fc.constantFrom("Always", "OnFailure", "Never" as const),
      init: fc.array(fc.record({ sidecar: fc.boolean(), probes, hook }), { maxLength: 3 }),
      main: fc.array(fc.record({ probes, hook }), { minLength: 1, maxLength: 2 }),
      env: fc.constantFrom("a", "b"),
      labels: fc.constantFrom({}, { team: "a" }),
    })
    .map(({ policy, init, main, env, labels }) => {
      const inits = init.map(({ sidecar, ...said }, at) =>
        sidecar ? { name: `i${at}`, sidecar, ...said } : { name: `i${at}` },
      );
      const mains = main.map((it, at) => ({ name: `m${at}`, env, ...it }));
      return aPodOf({ uid, policy, init: inits, main: mains, labels });
    });
const somePods = fc.tuple(...UIDS.map(somePod));

/** What may be found of a pod by an agent that knows nothing: any rows in any state. */
const someSandboxes = fc.array(
  fc.record({
    pod: fc.nat(2),
    ready: fc.boolean(),
    old: fc.boolean(),
    told: fc.boolean(),
    rows: fc.array(
      fc.record({
        state: fc.constantFrom("created", "running", "exited", "unknown" as const),
        exitCode: fc.constantFrom(0, 1),
        postStarted: fc.boolean(),
        crashes: fc.nat(3),
      }),
      { maxLength: 5 },
    ),
  }),
  { maxLength: 4 },
);

const someEvents = fc.array(
  fc.record({
    pod: fc.nat(2),
    pick: fc.nat(5),
    what: fc.constantFrom(
      "nothing",
      "sandbox dies",
      "sandbox dies and containers linger",
      "container ends",
      "probe kills",
      "runtime loses",
      "runtime is unclear",
      "runtime is clear",
      "step fails",
      "agent is killed",
      "step is slow",
      "other spec",
      "other labels",
      "unwanted",
      "nobody knows",
      "reboot",
      "clock is set back",
    ),
    ms: fc.constantFrom(0, 50, 1_000, 20_000, 700_000),
  }),
  { maxLength: 25 },
);
/** How many starts of each container fail before one works. */
const someFates = fc.record({
  failures: fc.nat(2),
  mainsEnd: fc.boolean(),
  code: fc.constantFrom(0, 1),
});
type Said = { readonly failures: number; readonly mainsEnd: boolean; readonly code: number };

function fatesOf({ failures, mainsEnd, code }: Said): Fates {
  return ({ kind, attempt }) => {
    if (attempt < failures) return { exitCode: 1, afterMs: 10, becomesReady: false };
    const exitCode = kind === "init" ? 0 : kind === "main" && mainsEnd ? code : undefined;
    return { exitCode, afterMs: 200, becomesReady: true };
  };
}
const doomed: Fates = ({ kind, attempt }) =>
  kind === "sidecar" && attempt % 2 === 0
    ? { exitCode: undefined, afterMs: 0, becomesReady: false }
    : { exitCode: 1, afterMs: 10, becomesReady: false };

function found(pods: readonly Pod[], said: readonly FoundRow[]): readonly SeenSandbox[] {
  return said.map(({ pod: at, ready, old, told, rows }, nr) => {
    const pod = pods[at] as Pod;
    const roles = rolesOf(pod.spec);
    const containers = rows.slice(0, roles.length).map((row, index) => {
      const { container, kind } = roles[index] as Role;
      const { name } = container;
      return aContainer({ ...row, name, kind, id: `found-${nr}-${name}`, attempt: 10 * (9 - nr) });
    });
    const fingerprint = old ? "old" : fp(pod);
    const createdAtMs = 1_000 - nr;
    return aSandbox(pod, {
      id: `found-${nr}`,
      ready,
      fingerprint,
      createdAtMs,
      containers,
      attempt: 10 - nr,
      ...(!told && { spec: undefined }),
    });
  });
}
type FoundRow = {
  readonly pod: number;
  readonly ready: boolean;
  readonly old: boolean;
  /** Whether its pod's spec was short enough to be kept with it. */
  readonly told: boolean;
  readonly rows: readonly Parameters<typeof aContainer>[0][];
};

/** Everything happens; then only fate does, until nothing is left to do. */
function lives(start: Start, fates: Fates) {
  const pods = [...start.pods];
  const live = aLiveWorld(found(pods, start.found));
  const known = new Set(live.seen.flatMap((it) => [it.id, ...it.containers.map((c) => c.id)]));
  for (const event of start.events) {
    happens(live, event, pods);
    const wanted = event.what === "unwanted" ? pods.filter((_, at) => at !== event.pod) : pods;
    live.wanted = event.what === "nobody knows" ? undefined : wanted;
    turn(live, event, known);
    passes(live, event.ms, fates);
  }
  live.wanted = pods;
  live.seen = live.seen.map((it) => ({ ...it, unclear: false }));
  return { live, known, pods };
}
type Start = {
  readonly pods: readonly Pod[];
  readonly found: readonly FoundRow[];
  readonly events: readonly Event[];
};
const someStart = fc.record({ pods: somePods, found: someSandboxes, events: someEvents });

/** Goes on from look to look until two hours bring nothing more. */
function comesToRest(live: LiveWorld, known: ReadonlySet<string>, fates: Fates): boolean {
  let quiet = 0;
  for (let nr = 0; nr < TURNS_TO_REST && quiet < 2; nr++) {
    const steps = turn(live, undefined, known);
    quiet = steps === 0 && live.slow.size === 0 ? quiet + 1 : 0;
    const lookAtMs = nextLookAtMs(worldOf(live)) ?? live.nowMs + 1_000;
    passes(live, quiet > 0 ? 3_600_000 : Math.max(1, lookAtMs - live.nowMs), fates);
  }
  return quiet === 2;
}

test("where things work, every pod comes to run, or to its end, and then nothing more is done", () => {
  fc.assert(
    fc.property(someStart, someFates, (start, said) => {
      const some = (policy: string) => start.pods.some((it) => it.spec.restartPolicy === policy);
      // Such a pod is started again for ever, as it should be.
      fc.pre(!said.mainsEnd || !(some("Always") || (some("OnFailure") && said.code === 1)));
      const fates = fatesOf(said);
      const { live, known, pods } = lives(start, fates);

      expect(comesToRest(live, known, fates), "it comes to rest").toBe(true);

      for (const pod of pods) {
        const [status] = statusesOf(live, [pod]);
        const over = live.outcomes.get(uidOf(pod))?.fingerprint === fp(pod);
        expect(ofPod(live, pod).length).toBe(over ? 0 : 1);
        if (pod.spec.restartPolicy === "Always") expect(over, "Always is never over").toBe(false);
        if (over) expect(status?.phase).toMatch(/Succeeded|Failed/);
        else expect(status?.phase).toBe("Running");
        // Where a container that is never tried again has failed beside another, the pod stays unready.
        if (!over && pod.spec.restartPolicy !== "Never") expect(status?.ready).toBe(true);
      }
    }),
    { numRuns: 500 },
  );
}, 60_000);

test("where nothing new ever works, nothing that runs is harmed for it, and tries get rare", () => {
  fc.assert(
    fc.property(someStart, (start) => {
      const { live, known } = lives(start, doomed);
      for (let nr = 0; nr < 60; nr++) {
        turn(live, undefined, known);
        passes(live, 1_000, doomed);
      }
      const before = live.starts.size;
      for (let nr = 0; nr < 60; nr++) {
        turn(live, undefined, known);
        passes(live, 10_000, doomed);
      }
      const containers = 5 * UIDS.length;
      expect(live.starts.size - before, "ten minutes of tries").toBeLessThanOrEqual(6 * containers);
    }),
    { numRuns: 60 },
  );
}, 60_000);

test.each([0, 1, 2, 3, 4, 5, 6])(
  "a job that loses its sandbox is never taken for done, though the agent is killed after %i changes",
  (pick) => {
    const pod = aPodOf({ policy: "Never", main: [{ name: "a" }, { name: "b" }] });
    const fates = fatesOf({ failures: 0, mainsEnd: true, code: 0 });
    const live = aLiveWorld([]);
    live.wanted = [pod];
    turn(live, undefined, new Set());
    for (const it of live.seen) dies(live, it.id, true);
    live.nowMs += 60_000;
    turn(live, { pod: 0, pick, what: "agent is killed", ms: 0 }, new Set());

    expect(comesToRest(live, new Set(), fates)).toBe(true);

    const outcome = live.outcomes.get(uidOf(pod));
    expect(outcome?.status).toMatchObject({ phase: "Succeeded", restarts: 1 });
  },
);
