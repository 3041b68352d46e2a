import type { Say } from "./progress.ts";

/**
 * Lines on stdout. A terminal that has gone away must not take the installation with it, so a
 * failing write is let go.
 */
export function openTerminal(stdout: NodeJS.WriteStream = process.stdout): Say {
  stdout.on("error", () => undefined);
  return (line) => void stdout.write(`${line}\n`);
}
