import { exec } from "../kit/exec.ts";
import { type Loop, startLoop } from "../kit/loop.ts";
import { databaseProgram, type Wiring } from "./parts/programs.ts";

const RENEW_WITHIN_MS = 20_000;
/** Less than the 15 minutes that a join token lives, so that there always is a live one. */
const RENEW_EVERY_MS = 10 * 60_000;

/**
 * Puts a fresh join token where the node-agent looks for one: its own token ends when it could not be
 * used for a day, and the join token of the start has long ended by then.
 */
export async function renewJoinToken(wiring: Wiring, signal: AbortSignal): Promise<void> {
  const { program, argv, env } = databaseProgram(wiring);
  try {
    await exec(program, argv, { env, timeoutMs: RENEW_WITHIN_MS, signal });
  } catch (cause) {
    throw new Error("There is no fresh join token for the node-agent yet.", { cause });
  }
}

/**
 * Renews the join token again and again while something is missing, such as a node that is shut out;
 * each time is a row in the database, so not while all is well.
 */
export function keepJoinable(options: {
  readonly isReady: () => Promise<boolean>;
  readonly renew: () => Promise<void>;
  readonly signal: AbortSignal;
  readonly onError: (error: unknown) => void;
}): Loop {
  const { isReady, renew, signal, onError } = options;
  async function pass() {
    if (!(await isReady())) await renew();
  }
  return startLoop({ everyMs: RENEW_EVERY_MS, signal, pass, onError });
}
