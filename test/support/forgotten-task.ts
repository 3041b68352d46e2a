import { exec } from "../../kit/exec.ts";

/**
 * Has containerd make and start a task of this ended container, behind CRI's back: what a start leaves
 * that is cut off when containerd has the task and CRI has not noted it yet.
 */
export async function startForgottenTask(endpoint: string, container: string): Promise<void> {
  await tasks(endpoint, "start", "--detach", "--null-io", container);
}

/** The ids of all tasks, whoever knows of them. */
export async function tasksIn(endpoint: string): Promise<readonly string[]> {
  return (await tasks(endpoint, "list", "--quiet")).split("\n").filter(Boolean);
}

async function tasks(endpoint: string, ...argv: readonly string[]): Promise<string> {
  const address = endpoint.replace("unix://", "");
  const all = ["--address", address, "--namespace", "k8s.io", "tasks", ...argv];
  return (await exec("/usr/bin/ctr", all, { timeoutMs: 10_000 })).stdout;
}
