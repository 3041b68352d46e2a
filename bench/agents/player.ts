import type { Socket } from "node:net";
import { SESSION_HEADER } from "../../contract/node/host.ts";
import { PROTOCOL, PROTOCOL_HEADER } from "../../contract/node/skew.ts";
import { backoffMs } from "../../kit/backoff.ts";
import { call } from "./call.ts";
import { type Count, nowMs, type Order, type PlayedAgent } from "./orders.ts";

/*
 * A process that plays many agents, as they speak to the api (node-agent/api/follow.ts and
 * report/reporter.ts): each holds one poll, asks again at once after news, reports what it was told,
 * and reports every 10 s. All in one process, without their hosts.
 */

const WAIT_MS = 25_000;
const HEARTBEAT_MS = 10_000;
const BEAT_EVERY_MS = 100;
const SHORTEST_TURN_MS = 500;
const RETRY = { minMs: 250, maxMs: 10_000 };

type Played = PlayedAgent & { tag: string | undefined; failures: number; socket?: Socket };

let agents: Played[] = [];
let to = { port: 0, from: "127.0.0.1" };
let polling = false;
let beating = false;
let beat = 0;
let held = 0;
let toldAtMs = new Map<Played, number>();
let reportedAtMs = new Map<Played, number>();
let failures: Record<string, number> = {};

const headers = (path: string, { session, token }: Played, more = "") =>
  `${path} HTTP/1.1\r\nHost: 127.0.0.1:${to.port}\r\nConnection: close\r\nauthorization: Bearer ${token}\r\n${SESSION_HEADER}: ${session}\r\n${PROTOCOL_HEADER}: ${PROTOCOL}\r\n${more}\r\n`;

function poll(agent: Played): void {
  if (!polling) return;
  const askedAtMs = nowMs();
  const known = agent.tag === undefined ? "" : `if-none-match: ${agent.tag}\r\n`;
  held += 1;
  const request = headers(`GET /v1/node/desired?waitMs=${WAIT_MS}`, agent, known);
  agent.socket = call(to, request, (answer) => {
    held -= 1;
    if (!polling) return;
    if (answer instanceof Error || (answer.status !== 200 && answer.status !== 304)) {
      failed(answer instanceof Error ? answer.message : `poll ${answer.status}`);
      setTimeout(poll, backoffMs(agent.failures++, RETRY), agent);
      return;
    }
    agent.failures = 0;
    if (answer.status === 200) told(agent, answer.etag);
    setTimeout(poll, Math.max(0, SHORTEST_TURN_MS - (nowMs() - askedAtMs)), agent);
  });
}

function told(agent: Played, tag: string | undefined): void {
  const isNews = generationOf(agent.tag) !== generationOf(tag);
  agent.tag = tag;
  if (!toldAtMs.has(agent)) toldAtMs.set(agent, nowMs());
  if (isNews) report(agent);
}

function report(agent: Played): void {
  const seen = { ...agent.report, observedGeneration: generationOf(agent.tag) };
  const body = JSON.stringify(seen, (key, value: unknown) =>
    key === "cpuMillis" && value === 1 ? Math.round(Math.random() * 1_000) : value,
  );
  const length = Buffer.byteLength(body);
  const more = `content-type: application/json\r\ncontent-length: ${length}\r\n`;
  call(to, headers("POST /v1/node/report", agent, more) + body, (answer) => {
    if (answer instanceof Error || answer.status !== 204) {
      failed(answer instanceof Error ? answer.message : `report ${answer.status}`);
      if (polling) setTimeout(report, 1_000, agent);
    } else if (!reportedAtMs.has(agent)) reportedAtMs.set(agent, nowMs());
  });
}

function generationOf(tag: string | undefined): number {
  return Number.parseInt(tag?.slice(1) ?? "0", 10);
}

function failed(what: string): void {
  failures[what] = (failures[what] ?? 0) + 1;
}

/** Each tenth of a second the reports that are due in it. */
setInterval(() => {
  beat += 1;
  if (!beating) return;
  const beats = HEARTBEAT_MS / BEAT_EVERY_MS;
  for (let at = beat % beats; at < agents.length; at += beats) {
    const agent = agents[at];
    if (agent?.tag !== undefined) report(agent);
  }
}, BEAT_EVERY_MS);

const carryOut: { readonly [Do in Order["do"]]: (order: Extract<Order, { do: Do }>) => void } = {
  be: (order) => {
    agents = order.agents.map((it) => ({ ...it, tag: undefined, failures: 0 }));
    to = { ...to, from: order.from };
  },
  poll: ({ port }) => {
    to = { ...to, port };
    polling = true;
    for (const agent of agents) poll(agent);
  },
  stop: () => {
    polling = false;
    beating = false;
    for (const agent of agents) {
      agent.socket?.destroy();
      agent.tag = undefined;
      agent.failures = 0;
    }
  },
  beat: ({ on }) => {
    beating = on;
  },
  mark: () => {
    toldAtMs = new Map();
    reportedAtMs = new Map();
    failures = {};
  },
  count: () => undefined,
  times: () => undefined,
};

process.on("message", (order: Order) => {
  carryOut[order.do](order as never);
  const count: Count = {
    held,
    told: toldAtMs.size,
    reported: reportedAtMs.size,
    failures,
    ...(order.do === "times" && {
      toldAtMs: [...toldAtMs.values()],
      reportedAtMs: [...reportedAtMs.values()],
    }),
  };
  process.send?.(count);
});
process.on("disconnect", () => process.exit(0));
