import { constants } from "node:os";
import type { CriCall } from "./cri-client.ts";
import { RuntimeError } from "./runtime.ts";

const END_MS = 10_000;

/**
 * Removes what the runtime holds, together with tasks in it that CRI forgot.
 *
 * A start that is cut off, since the agent that asked was killed, may leave containerd with a task
 * while CRI notes the container as ended: StopContainer and StopPodSandbox then find nothing to stop,
 * and every removal fails with "cannot delete running task", for ever (containerd issue 11037). Only
 * containerd's own API ends such a task. It is asked on that failure alone, and about `inside` alone.
 */
export async function removeWithForgotten(
  call: CriCall,
  remove: () => Promise<unknown>,
  inside: () => Promise<readonly string[]>,
): Promise<void> {
  try {
    await remove();
  } catch (error) {
    if (!(error instanceof RuntimeError && error.code === "FAILED_PRECONDITION")) throw error;
    for (const id of await inside()) await endTask(call, id);
    await remove();
  }
}

async function endTask(call: CriCall, container_id: string): Promise<void> {
  const signal = constants.signals.SIGKILL;
  await unlessGone(call("Kill", { container_id, signal, all: true }, END_MS));
  await unlessGone(call("Wait", { container_id }, END_MS));
  await unlessGone(call("Delete", { container_id }, END_MS));
}

/** What is gone already was done already. */
export async function unlessGone(answer: Promise<unknown>): Promise<void> {
  try {
    await answer;
  } catch (error) {
    if (!(error instanceof RuntimeError && error.code === "NOT_FOUND")) throw error;
  }
}
