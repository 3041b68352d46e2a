import { setTimeout as sleep } from "node:timers/promises";
import { openLog } from "../kit/log.ts";
import { onTermination } from "../kit/shutdown.ts";
import { runAgent } from "./agent.ts";
import { readAgentEnv } from "./env.ts";

/** What the runtime was asked is waited for a little; the next agent finds the rest of a step and goes on. */
const LEAVE_WITHIN_MS = 1_500;

const log = openLog("node-agent");
try {
  const signal = onTermination();
  const running = runAgent(readAgentEnv(), signal, log);
  const asked = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
  await Promise.race([running, asked.then(() => sleep(LEAVE_WITHIN_MS))]);
  log.info("agent stopped; its pods go on");
  process.exit(0);
} catch (error) {
  log.error("the agent cannot run", error);
  process.exit(1);
}
