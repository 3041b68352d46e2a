import { setTimeout as sleep } from "node:timers/promises";
import type { Container } from "../../contract/pod/pod.ts";
import type { Hook } from "../../contract/pod/probe.ts";
import { httpGet } from "../probes/http-get.ts";
import type { Runtime } from "../runtime/runtime.ts";

/** The container that a hook is for. */
export type HookPlace = {
  readonly id: string;
  readonly container: Container;
  /** The pod's address, which is the only one that a hook asks. */
  readonly ip: string | undefined;
};

const EXCERPT_CHARS = 500;

/**
 * Does what a lifecycle hook says, within `withinSeconds`; rejects, saying why, when it went wrong. An
 * answer to a GET is a good one whatever it says, as with Kubernetes.
 */
export async function runHook(
  runtime: Runtime,
  hook: Hook,
  place: HookPlace,
  withinSeconds: number,
  signal: AbortSignal,
): Promise<void> {
  if (hook.exec) return runCommand(runtime, place.id, hook.exec.command, withinSeconds);
  if (hook.sleep) {
    const ms = Math.min(hook.sleep.seconds, withinSeconds) * 1_000;
    return sleep(ms, undefined, { signal });
  }
  if (hook.httpGet) return get(hook.httpGet, place, withinSeconds, signal);
}

async function runCommand(
  runtime: Runtime,
  id: string,
  command: readonly string[],
  timeoutSeconds: number,
): Promise<void> {
  const { exitCode, stdout, stderr } = await runtime.execSync(id, command, { timeoutSeconds });
  if (exitCode === 0) return;
  const words = Buffer.concat([stderr, stdout]).toString("utf8").trim().slice(0, EXCERPT_CHARS);
  throw new Error(`the command ended with code ${exitCode}${words === "" ? "" : `: ${words}`}`);
}

async function get(
  { path, port: wanted, httpHeaders }: NonNullable<Hook["httpGet"]>,
  { container, ip }: HookPlace,
  timeoutSeconds: number,
  signal: AbortSignal,
): Promise<void> {
  const port =
    typeof wanted === "number"
      ? wanted
      : container.ports.find((it) => it.name === wanted)?.containerPort;
  if (port === undefined) throw new Error(`the container has no port "${wanted}"`);
  if (ip === undefined) throw new Error("the pod has no address");
  const { status, excerpt } = await httpGet(
    ip,
    { path, httpHeaders, port, timeoutSeconds },
    signal,
  );
  if (status === undefined) throw new Error(`GET ${path} on port ${port}: ${excerpt}`);
}
