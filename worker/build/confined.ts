import { execLines } from "../../kit/exec.ts";

/**
 * Runs a program in a mount and process namespace of its own, so that what it mounts and starts
 * ends with it, however it ends; and it ends with this process, and with its signal. `root` is its
 * root folder, where given, with a /proc of its own.
 */
export function runConfined(
  program: readonly string[],
  options: {
    readonly root?: { readonly folder: string; readonly user: number; readonly group: number };
    readonly env?: Readonly<Record<string, string>>;
    readonly timeoutMs: number;
    readonly signal: AbortSignal;
    readonly onLine: (line: string) => void;
  },
): Promise<void> {
  const { root, env, timeoutMs, signal, onLine } = options;
  const argv = [
    "--pdeathsig=KILL",
    "--",
    "/usr/bin/unshare",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    root === undefined ? "--mount-proc" : `--mount-proc=${root.folder}/proc`,
    "--",
    // The namespace's first process must stay root: the kernel forgets to end with its parent one
    // that changes its user, and with the first one all others end.
    "/usr/bin/catatonit",
    "--",
    ...(root === undefined ? [] : chrootArgv(root)),
    ...program,
  ];
  return execLines("/usr/bin/setpriv", argv, { ...(env && { env }), timeoutMs, signal, onLine });
}

function chrootArgv(root: { folder: string; user: number; group: number }): readonly string[] {
  return ["/usr/sbin/chroot", `--userspec=${root.user}:${root.group}`, root.folder];
}
