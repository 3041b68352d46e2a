import { access, constants } from "node:fs/promises";
import { join } from "node:path";
import { runscWrapper } from "./runsc-wrapper.ts";

/*
 * Ways of running a pod beside runc's, which a pod asks for by its runtimeClassName. Whatever is
 * installed on the host is configured; docs/handlers.md says how to install them.
 */

export type RuntimeHandler = {
  /** What pods call it. */
  readonly name: string;
  /** containerd's name of the shim. */
  readonly type: string;
  /** A program in runc's place, for handlers that have no shim of their own. */
  readonly wrapper?: { readonly text: string };
};

type Known = { readonly program: string; readonly handler: (path: string) => RuntimeHandler };

/** The first one found of each name counts. */
const KNOWN: readonly Known[] = [
  {
    program: "containerd-shim-runsc-v1",
    handler: () => ({ name: "runsc", type: "io.containerd.runsc.v1" }),
  },
  {
    program: "runsc",
    handler: (path) => ({
      name: "runsc",
      type: "io.containerd.runc.v2",
      wrapper: { text: runscWrapper(path) },
    }),
  },
  {
    program: "containerd-shim-kata-v2",
    handler: () => ({ name: "kata", type: "io.containerd.kata.v2" }),
  },
];

/** The handlers whose programs lie in one of these folders, which are those that containerd searches. */
export async function findHandlers(folders: readonly string[]): Promise<readonly RuntimeHandler[]> {
  const found = new Map<string, RuntimeHandler>();
  for (const { program, handler } of KNOWN) {
    const path = await firstExecutable(folders.map((it) => join(it, program)));
    if (path === undefined) continue;
    const made = handler(path);
    if (!found.has(made.name)) found.set(made.name, made);
  }
  return [...found.values()];
}

async function firstExecutable(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    const runs = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (runs) return path;
  }
  return undefined;
}
