import { dirname } from "node:path";
import { onTermination } from "../../kit/shutdown.ts";
import { openTerminal } from "../terminal.ts";
import { readAsked } from "./env.ts";
import { HELP } from "./help.ts";
import { runHost } from "./run.ts";
import { takeHostDown } from "./take-down.ts";

const say = openTerminal();
const root = dirname(dirname(import.meta.dirname));
const asked = readAsked(process.argv.slice(2));

async function answer(): Promise<number> {
  if (!("command" in asked)) {
    for (const sentence of asked) say(sentence);
    say('"npm run agent -- --help" tells more.');
    return 1;
  }
  const { command, options } = asked;
  if (command === "down") return takeHostDown({ options, root, say });
  if (command === "run") return runHost({ options, root, say, signal: onTermination() });
  say(HELP);
  return 0;
}

// A closed terminal ends the watch as Ctrl-C does, not in the middle of a step.
process.on("SIGHUP", () => process.kill(process.pid, "SIGTERM"));
try {
  process.exitCode = await answer();
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
