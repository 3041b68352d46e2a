import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { eachInTurn } from "../../kit/each-in-turn.ts";
import { namesIn } from "../disk/durable-file.ts";
import { readJson } from "../disk/read-json.ts";
import { findLeader, killSession, type Started } from "./processes.ts";

/** What runs on somebody's behalf is written down, so that an agent that was killed leaves nothing running. */
export type Leftovers = {
  note(session: string, started: Started): Promise<void>;
  forget(session: string): Promise<void>;
  /** Ends what an earlier agent began; for before the first new command. */
  end(): Promise<void>;
};

const Note = z.object({
  cgroup: z.string().startsWith("/"),
  command: z.array(z.string()),
  startTicks: z.number(),
});

export function openLeftovers(folder: string): Leftovers {
  const fileOf = (session: string) => join(folder, `${session}.json`);
  return {
    async note(session, started) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await writeFile(fileOf(session), JSON.stringify(started), { mode: 0o600 });
    },
    forget: (session) => rm(fileOf(session), { force: true }),
    async end() {
      await eachInTurn(await namesIn(folder), async (name) => {
        const file = join(folder, name);
        // One that was cut off while it was written was of a command that had not begun.
        const started = readJson(Note, await readFile(file, "utf8")).value;
        const leader = started && (await findLeader(started));
        if (leader) await killSession(started.cgroup, leader);
        await rm(file, { force: true });
      });
    },
  };
}
