import { expect, test } from "vitest";
import { Probe } from "../../contract/pod.ts";
import type { Answer } from "../../node-agent/probes/http-get.ts";
import { firstVerdict, judge, pauseMs, type Verdict } from "../../node-agent/probes/verdict.ts";

const probe = (said: object = {}) => Probe.parse({ httpGet: { port: 8080 }, ...said });
const good: Answer = { kind: "answered", status: 200, excerpt: "ok", latencyMs: 1 };
const missing: Answer = { kind: "answered", status: 404, excerpt: "no", latencyMs: 1 };
const refused: Answer = { kind: "refused", excerpt: "connection refused" };

/** What is known after these answers, a second apart. */
function after(
  answers: readonly Answer[],
  said: { startup?: Probe; readiness?: Probe; found?: boolean },
): Verdict {
  const probes = { startup: said.startup, readiness: said.readiness };
  let verdict = firstVerdict(probes, said.found ?? false);
  for (const [at, answer] of answers.entries()) {
    const asked = verdict.started ? said.readiness : said.startup;
    if (asked) verdict = judge(verdict, probes, asked, answer, (at + 1) * 1_000);
  }
  return verdict;
}

test("a pod without a probe is ready when it runs", () => {
  expect(after([], {}).readiness).toBe("ready");
});

test("the first good answer makes a pod ready, also where one page answers both probes", () => {
  const readiness = probe();

  expect(after([], { readiness }).readiness).toBe("not-ready");
  expect(after([refused, good], { readiness }).readiness).toBe("ready");
  expect(after([refused, good], { startup: probe(), readiness }).readiness).toBe("ready");
});

test("until the startup probe has passed the readiness probe is not asked", () => {
  const other = Probe.parse({ httpGet: { port: 8080, path: "/up" } });
  const probes = { startup: other, readiness: probe() };

  expect(after([missing], probes)).toMatchObject({ started: false, readiness: "not-ready" });
  expect(after([good], probes)).toMatchObject({ started: true, readiness: "not-ready" });
  expect(after([good, good], probes).readiness).toBe("ready");
});

test("a ready pod leaves the routes only after as many failures in a row as it allows", () => {
  const readiness = probe({ failureThreshold: 3 });

  expect(after([good, missing, missing], { readiness }).readiness).toBe("ready");
  expect(after([good, missing, missing, missing], { readiness }).readiness).toBe("not-ready");
  expect(after([good, missing, missing, good, missing], { readiness }).readiness).toBe("ready");
});

test("a pod found running stays as it was until it has answered", () => {
  const readiness = probe();

  expect(after([], { readiness, found: true }).readiness).toBe("unknown");
  expect(after([good], { readiness, found: true }).readiness).toBe("ready");
  expect(after([missing], { readiness, found: true }).readiness).toBe("not-ready");
});

test("a startup probe has failed when all its tries are over, and not before", () => {
  const startup = probe({ periodSeconds: 2, failureThreshold: 2 });

  expect(after([refused, refused, refused], { startup }).startupFailed).toBe(false);
  expect(after([refused, refused, refused, refused], { startup }).startupFailed).toBe(true);
});

test("answers of one kind are counted, and told with their status and first bytes", () => {
  const readiness = probe();

  expect(after([refused, missing, missing, missing], { readiness }).sight).toEqual({
    status: 404,
    times: 3,
    excerpt: "no",
    latencyMs: 1,
  });
});

test("a closed port is asked often at first, a page that answers at the probe's own pace", () => {
  const starting = firstVerdict({ startup: undefined, readiness: probe() }, false);
  const slow = probe({ periodSeconds: 5 });

  expect(pauseMs(starting, slow, refused, 100)).toBe(50);
  expect(pauseMs(starting, slow, refused, 40_000)).toBe(1_000);
  expect(pauseMs(starting, slow, missing, 100)).toBe(5_000);
  expect(pauseMs({ ...starting, readiness: "ready" }, slow, good, 100)).toBe(5_000);
});
