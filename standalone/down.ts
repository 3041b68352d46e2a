import { dirname } from "node:path";
import { readSettings } from "./env.ts";
import { takeDown } from "./take-down.ts";
import { openTerminal } from "./terminal.ts";

const say = openTerminal();
try {
  const root = dirname(import.meta.dirname);
  process.exitCode = await takeDown({ settings: readSettings(), root, say });
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
