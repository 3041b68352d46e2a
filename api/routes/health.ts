import { z } from "zod";
import { Problem } from "../../contract/problem.ts";
import { databaseUnavailable } from "../../db/errors.ts";
import { countThings, type There, whoIsThere } from "../../db/health.ts";
import type { ApiDeps } from "../deps.ts";
import { NoQuery } from "../http/query.ts";
import { openRoute, type Route } from "../http/route.ts";
import { registryAnswers } from "../registry/client.ts";

const OPEN = {
  method: "GET",
  auth: "open",
  scope: null,
  project: "installation",
  audit: null,
  bodyLimit: 0,
  query: NoQuery,
} as const;

export const healthRoutes: readonly Route[] = [
  openRoute({
    ...OPEN,
    path: "/healthz",
    summary: "The process is up",
    answers: { 200: z.strictObject({ ok: z.literal(true) }) },
    handle: (call) => call.c.json({ ok: true }),
  }),
  openRoute({
    ...OPEN,
    path: "/readyz",
    summary: "An app could be deployed; 503 says what is missing",
    answers: { 200: z.strictObject({ ready: z.literal(true) }) },
    handle: async (call) => {
      const missing = await whatIsMissing(call.deps);
      if (missing.length === 0) return call.c.json({ ready: true });
      throw new Problem("not-ready", `Missing: ${missing.join("; ")}.`, { extras: { missing } });
    },
  }),
  openRoute({
    ...OPEN,
    path: "/metrics",
    summary: "Counts of the installation, as Prometheus reads them",
    answers: { 200: "Prometheus text" },
    handle: async (call) => call.c.text(await metricsText(call.deps)),
  }),
];

async function whatIsMissing(deps: ApiDeps): Promise<string[]> {
  const [registry, there] = await Promise.all([registryAnswers(deps), look(deps)]);
  return [
    ...(registry ? [] : ["the registry does not answer"]),
    ...(there ? [] : ["the database does not answer"]),
    ...(there?.workers === 0 ? ["no worker was heard of in the last 15 s"] : []),
    ...(there?.nodes === 0 ? [noNode(there)] : []),
  ];
}

function noNode({ fencedNodes, strangeNodes, aheadNodes }: There): string {
  const words = "no node that takes pods was heard of in the last 30 s";
  const others = [
    ...(fencedNodes === 0 ? [] : [`${many(fencedNodes, "node is", "nodes are")} fenced`]),
    ...(strangeNodes === 0
      ? []
      : [`${many(strangeNodes, "node's agent speaks", "nodes' agents speak")} another protocol`]),
    ...(aheadNodes === 0
      ? []
      : [`${many(aheadNodes, "node is", "nodes are")} ahead of the database`]),
  ];
  return others.length === 0 ? words : `${words} (${others.join(", ")})`;
}

function many(count: number, one: string, more: string): string {
  return `${count} ${count === 1 ? one : more}`;
}

async function look(deps: ApiDeps) {
  try {
    return await whoIsThere(deps.db);
  } catch (error) {
    if (databaseUnavailable(error)) return undefined;
    throw error;
  }
}

async function metricsText(deps: ApiDeps): Promise<string> {
  const [counts, there] = await Promise.all([countThings(deps.db), whoIsThere(deps.db)]);
  const gauge = (name: string, help: string, lines: readonly string[]) =>
    [`# HELP ${name} ${help}`, `# TYPE ${name} gauge`, ...lines].join("\n");
  const one = (name: string, help: string, value: number) =>
    gauge(name, help, [`${name} ${value}`]);
  return `${[
    one("waybill_apps", "Apps that are wished for.", counts.apps),
    one("waybill_pods_wanted", "Pods that should run.", counts.podsWanted),
    one("waybill_nodes_ready", "Nodes that take pods, heard of in the last 30 s.", there.nodes),
    one("waybill_workers_ready", "Workers heard of in the last 15 s.", there.workers),
    one("waybill_nudges_waiting", "Nudges that no relay has sent yet.", counts.nudgesWaiting),
    one("waybill_nudge_oldest_seconds", "Age of the oldest of them.", counts.oldestNudgeSeconds),
    gauge(
      "waybill_releases",
      "Releases by phase.",
      Object.entries(counts.releases).map(
        ([phase, count]) => `waybill_releases{phase="${phase}"} ${count}`,
      ),
    ),
  ].join("\n")}\n`;
}
