import { ExecInput, type ExecOutput, MAX_EXEC_INPUT_WAIT_MS } from "../../contract/node/exec.ts";
import { rest } from "../../kit/rest.ts";
import type { ApiClient } from "../api/client.ts";
import { readJson } from "../disk/read-json.ts";

/** The api does not answer for so long: whoever waited for the command has been told that we are gone. */
const AWAY_MS = 15_000;
const RETRY_MS = 300;

/** One session's questions to the api. `over`: nobody waits for it any more, or the api is away for good. */
export type ExecWire = {
  input(after: number, signal: AbortSignal): Promise<ExecInput | "over">;
  output(output: ExecOutput, signal: AbortSignal): Promise<"taken" | "over">;
};

export function openExecWire(client: ApiClient, id: string): ExecWire {
  const path = `/v1/node/execs/${id}`;

  /** Asks again until there is a usable answer, which `read` tells. */
  async function insist<T>(
    question: Parameters<ApiClient["ask"]>[0],
    read: (status: number, text: string) => T | undefined,
    signal: AbortSignal,
  ): Promise<T | "over"> {
    let awaySinceMs: number | undefined;
    while (!signal.aborted) {
      const answer = await client.ask(question, signal);
      if (typeof answer !== "string") {
        const value = read(answer.status, answer.text);
        if (value !== undefined) return value;
        if ([404, 410, 413, 422].includes(answer.status)) return "over";
        if (answer.status < 300) {
          awaySinceMs = undefined;
          continue;
        }
      }
      awaySinceMs ??= performance.now();
      if (performance.now() - awaySinceMs > AWAY_MS) return "over";
      await rest(RETRY_MS, signal);
    }
    return "over";
  }

  return {
    input: (after, signal) =>
      insist(
        {
          method: "GET",
          path: `${path}/input?after=${after}&waitMs=${MAX_EXEC_INPUT_WAIT_MS}`,
          waitMs: MAX_EXEC_INPUT_WAIT_MS,
        },
        (status, text) => (status === 200 ? readJson(ExecInput, text).value : undefined),
        signal,
      ),
    output: (json, signal) =>
      insist(
        { method: "POST", path: `${path}/output`, json },
        (status) => (status === 204 ? ("taken" as const) : undefined),
        signal,
      ),
  };
}
