import { dirname } from "node:path";
import { readHost } from "./agent/host.ts";
import { takeHostDown } from "./agent/take-down.ts";
import { readSettings } from "./env.ts";
import { takeDown } from "./take-down.ts";
import { openTerminal } from "./terminal.ts";

const say = openTerminal();
try {
  const root = dirname(import.meta.dirname);
  const settings = readSettings();
  const isNode = (await readHost(settings.dataDir)) !== undefined;
  process.exitCode = isNode
    ? await takeHostDown({ options: settings, root, say })
    : await takeDown({ settings, root, say });
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
