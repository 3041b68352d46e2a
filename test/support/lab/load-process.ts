import { Agent, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { Failure, LoadAnswer, LoadOrder, LoadPlan, LoadReport, Target } from "./load.ts";

/* The process of `aLoad`: it is told to start, to tell and to stop, and ends with whoever started it. */

const TICK_MS = 5;
const ANSWER_MS = 15_000;
const MAX_FAILURES = 1_000;
const MAX_ANSWERS = 1_000;
const ANSWER_CHARS = 200;

let failures: Failure[] = [];
let answers = new Map<string, number>();
let times: number[] = [];
const under = new Set<Promise<void>>();
let sent = 0;
let failed = 0;
let timer: NodeJS.Timeout | undefined;

process.on("disconnect", () => process.exit(0));
process.on("message", async (order: LoadOrder) => {
  if (order.do === "start") start(order.plan);
  if (order.do === "stop") {
    clearInterval(timer);
    while (under.size > 0) await Promise.race([...under, sleep(100)]);
  }
  const answer: LoadAnswer = { to: order.do, report: report() };
  process.send?.(answer);
  if (order.do === "lap") forget();
});

function forget(): void {
  [failures, answers, times, sent, failed] = [[], new Map(), [], 0, 0];
}

/** What is due by the clock is sent, also after a moment in which this process did not run. */
function start({ to, perSecond, keepAlive = false }: LoadPlan): void {
  const agent = new Agent({ keepAlive });
  const startedMs = performance.now();
  let begun = 0;
  timer = setInterval(() => {
    const due = Math.floor(((performance.now() - startedMs) / 1_000) * perSecond * to.length);
    for (; begun < due; begun++) {
      const target = to[begun % to.length] as Target;
      const one = ask(target, agent).finally(() => under.delete(one));
      under.add(one);
    }
  }, TICK_MS);
}

async function ask(target: Target, agent: Agent): Promise<void> {
  const sentAtMs = Date.now();
  const startedMs = performance.now();
  sent += 1;
  try {
    const text = await answerOf(target, agent);
    times.push(performance.now() - startedMs);
    const key = answers.has(text) || answers.size < MAX_ANSWERS ? text : "others";
    answers.set(key, (answers.get(key) ?? 0) + 1);
  } catch (error) {
    failed += 1;
    if (failures.length >= MAX_FAILURES) return;
    const to = `${target.host} at ${target.address}:${target.port}`;
    const why = error instanceof Error ? error.message : String(error);
    failures.push({ sentAtMs, failedAtMs: Date.now(), to, why });
  }
}

/** The text of a 200, shortened; throws for all else, a question or answer that breaks off as well. */
function answerOf(target: Target, agent: Agent): Promise<string> {
  const { address, port, host, path = "/", bytes } = target;
  const method = bytes === undefined ? "GET" : "POST";
  return new Promise((resolve, reject) => {
    const to = { host: address, port, method, path, headers: { host }, agent };
    const asked = request(to, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (chunk: string) => {
        text = (text + chunk).slice(0, ANSWER_CHARS);
      });
      answer.on("error", reject);
      answer.on("end", () => {
        const whole = bytes === undefined || text.startsWith(`${bytes} `);
        if (answer.statusCode === 200 && whole) resolve(text);
        else reject(new Error(`${answer.statusCode} ${text}`));
      });
    });
    const patience = setTimeout(() => {
      asked.destroy(new Error(`no answer in ${ANSWER_MS / 1_000} s`));
    }, ANSWER_MS);
    asked.on("error", reject);
    asked.on("close", () => clearTimeout(patience));
    asked.end(bytes === undefined ? undefined : Buffer.alloc(bytes, "a"));
  });
}

function report(): LoadReport {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.floor((sorted.length - 1) * share)] ?? 0;
  return {
    sent,
    answered: times.length,
    failed,
    failures,
    answers: Object.fromEntries(answers),
    tookMs: { p50: at(0.5), p99: at(0.99), longest: at(1) },
  };
}
