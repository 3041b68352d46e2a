import type { Probe } from "../../contract/pod/probe.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Answer } from "./answer.ts";
import { execCommand } from "./exec-command.ts";
import { httpGet } from "./http-get.ts";
import type { Slots } from "./slots.ts";
import { tcpSocket } from "./tcp-socket.ts";

/** Where a probe's question goes: one running container, and never any other address. */
export type Asked = {
  readonly container: string;
  readonly ip: string;
  readonly ports: readonly {
    readonly name?: string | undefined;
    readonly containerPort: number;
  }[];
};

/**
 * An answer that comes this much later than its time limit was held up by this agent or its runtime,
 * as after the host was asleep, and is nobody's failure.
 */
const HELD_UP_MS = 2_000;

/** One question of a probe; resolves within its time limit, whatever the container does. */
export async function askOnce(
  probe: Probe,
  asked: Asked,
  deps: { readonly execSync: Runtime["execSync"]; readonly execSlots: Slots },
  signal: AbortSignal,
): Promise<Answer> {
  const answer = await answerTo(probe, asked, deps, signal);
  const heldUp = answer.latencyMs > probe.timeoutSeconds * 1_000 + HELD_UP_MS;
  return heldUp && answer.outcome !== "good" ? { ...answer, outcome: "unclear" } : answer;
}

async function answerTo(
  probe: Probe,
  asked: Asked,
  deps: { readonly execSync: Runtime["execSync"]; readonly execSlots: Slots },
  signal: AbortSignal,
): Promise<Answer> {
  const { timeoutSeconds } = probe;
  if (probe.exec) {
    const question = { command: probe.exec.command, timeoutSeconds };
    return deps.execSlots.take(() => execCommand(deps.execSync, asked.container, question));
  }
  const said = probe.httpGet?.port ?? probe.tcpSocket?.port;
  const port = typeof said === "number" ? said : portNamed(said, asked);
  if (port === undefined)
    return wrong(said === undefined ? "the probe asks nothing" : `no port is named "${said}"`);
  if (!probe.httpGet) return tcpSocket(asked.ip, { port, timeoutSeconds }, signal);
  return httpGet(asked.ip, { ...probe.httpGet, port, timeoutSeconds }, signal);
}

function portNamed(name: string | undefined, { ports }: Asked): number | undefined {
  return ports.find((it) => it.name !== undefined && it.name === name)?.containerPort;
}

function wrong(excerpt: string): Answer {
  return { outcome: "bad", status: undefined, excerpt, latencyMs: 0 };
}
