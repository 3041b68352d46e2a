import { dirname } from "node:path";
import { onTermination } from "../kit/shutdown.ts";
import { readSettings, type Settings } from "./env.ts";
import { runStandalone } from "./run.ts";
import { openTerminal } from "./terminal.ts";

const say = openTerminal();
// A closed terminal ends the control plane as Ctrl-C does, not in the middle of a step.
process.on("SIGHUP", () => process.kill(process.pid, "SIGTERM"));
const signal = onTermination();

function settingsOrComplaint(): Settings | string {
  try {
    return readSettings();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const settings = settingsOrComplaint();
if (typeof settings === "string") {
  say(settings);
  process.exit(1);
}
process.exit(await runStandalone({ settings, root: dirname(import.meta.dirname), say, signal }));
