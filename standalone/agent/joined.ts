import { request } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { rest } from "../../kit/rest.ts";
import { readIfThere } from "../files.ts";
import type { Places } from "../places.ts";
import { isAlive } from "../processes.ts";
import type { Startup } from "../start.ts";
import { type Running, StartError, untilReady } from "../supervise.ts";

/** What the node-agent keeps of the api's answer to its joining. */
const Joined = z.object({ api: z.string(), name: z.string(), podRange: z.string() });
export type Joined = z.infer<typeof Joined>;

/** How this host joined that api; undefined where it has not. */
export async function readJoined(places: Places, api: string): Promise<Joined | undefined> {
  const text = await readIfThere(join(places.agentDir, "node.json"));
  if (text === undefined) return undefined;
  const { data } = Joined.safeParse(JSON.parse(text));
  return data?.api === api ? data : undefined;
}

const JOIN_WITHIN_MS = 30_000;
const LOOK_EVERY_MS = 100;

/**
 * Waits until the agent has joined, and says what keeps it from that; throws a StartError with the api's
 * words when it does not.
 */
export async function untilJoined(
  agent: Running,
  api: string,
  { places, say, signal }: Pick<Startup, "places" | "say" | "signal">,
): Promise<Joined> {
  const untilMs = Date.now() + JOIN_WITHIN_MS;
  let said: string | undefined;
  for (;;) {
    signal.throwIfAborted();
    const joined = await readJoined(places, api);
    if (joined) return joined;
    // Says how it ended.
    if (!isAlive(agent.process)) await untilReady(agent, signal);
    const { because } = await saidByAgent(places.agentSocket);
    if (isFinal(because) || Date.now() > untilMs) {
      const why = because ?? "the api gave it no range of pod addresses";
      throw new StartError(`This host cannot join ${api}: ${sentence(why)}`);
    }
    if (because !== undefined && because !== said) say(`api         not yet: ${because}`);
    said = because;
    await sleep(LOOK_EVERY_MS, undefined, { signal });
  }
}

const ASKED_WITHIN_MS = 5_000;

/**
 * What the api has against a host that had joined before, or why it cannot be asked, in sentences; undefined
 * where all is well. The host runs what it has in any case, so that a slow answer is not waited for.
 */
export async function troubleSinceJoining(
  { agentSocket }: Places,
  signal: AbortSignal,
): Promise<string | undefined> {
  const untilMs = Date.now() + ASKED_WITHIN_MS;
  while (!signal.aborted && Date.now() < untilMs) {
    const { confirmed, because, skew } = await saidByAgent(agentSocket);
    if (skew !== undefined) return `${sentence(skew)} Until then no new pods come here.`;
    if (confirmed) return undefined;
    if (because !== undefined) {
      const way = isFinal(because) ? " To join anew, give it a new token with --join." : "";
      return `${sentence(because)} What ran here goes on.${way}`;
    }
    await rest(LOOK_EVERY_MS, signal);
  }
  return undefined;
}

/** Whether the api has looked at the token and refused it: asking again would not help. */
export function isFinal(because: string | undefined): boolean {
  return /\bthe api answered 40[0-4]\b/.test(because ?? "");
}

/** As the end of a text, whether its last words are somebody's sentence or not. */
function sentence(words: string): string {
  return words.endsWith(".") ? words : `${words}.`;
}

const Health = z.object({
  confirmed: z.boolean(),
  api: z.object({ because: z.string() }).nullable(),
  skew: z.string().nullable(),
});
type Said = {
  /** Whether the api has answered as it should, and refuses nothing. */
  readonly confirmed: boolean;
  /** What keeps the agent from its api, in its own words. */
  readonly because: string | undefined;
  /** That it and its api speak different protocols, and what to do. */
  readonly skew: string | undefined;
};
const NOTHING_SAID: Said = { confirmed: false, because: undefined, skew: undefined };

function saidByAgent(socket: string): Promise<Said> {
  const signal = AbortSignal.timeout(2_000);
  return new Promise((resolve) => {
    const asked = request({ socketPath: socket, path: "/healthz", signal }, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (chunk: string) => {
        text += chunk;
      });
      answer.on("error", () => resolve(NOTHING_SAID));
      answer.on("end", () => {
        const { data } = Health.safeParse(text === "" ? undefined : JSON.parse(text));
        if (!data) return resolve(NOTHING_SAID);
        const { confirmed, api, skew } = data;
        resolve({ confirmed, because: api?.because, skew: skew ?? undefined });
      });
    });
    asked.once("error", () => resolve(NOTHING_SAID));
    asked.end();
  });
}
