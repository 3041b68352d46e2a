import { rm, writeFile } from "node:fs/promises";
import { exec } from "../../../kit/exec.ts";
import { unmount } from "../../../node-agent/host/mounts.ts";
import type { Command } from "../program.ts";

/** A network of its own, kept by the file at `path`, which lies in the run's folder and goes with it. */
export type Namespace = { readonly path: string };

const WITHIN = { timeoutMs: 10_000 };

export async function makeNamespace(path: string): Promise<Namespace> {
  await writeFile(path, "");
  await exec("/usr/bin/unshare", [`--net=${path}`, "/bin/true"], WITHIN);
  return { path };
}

/** Its links go with it, and those that they lead to, as soon as nobody runs in it. */
export async function endNamespace({ path }: Namespace): Promise<void> {
  await unmount(path);
  await rm(path);
}

/**
 * The same command in that network. Only that is another one: `ip netns exec` would take the mounts
 * of /sys along, and runc finds no cgroups then.
 */
export function within({ path }: Namespace, { program, argv, env }: Command): Command {
  return { program: "/usr/bin/nsenter", argv: [`--net=${path}`, "--", program, ...argv], env };
}

/** Runs a program in that network to its end, and answers what it said. */
export async function runWithin(
  namespace: Namespace,
  program: string,
  argv: readonly string[],
): Promise<string> {
  const command = within(namespace, { program, argv, env: {} });
  return (await exec(command.program, command.argv, WITHIN)).stdout;
}
