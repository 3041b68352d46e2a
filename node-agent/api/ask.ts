import { z } from "zod";
import { readJson } from "../disk/read-json.ts";
import { oneLine } from "../report/words.ts";
import { type HttpAnswer, type HttpCall, httpCall } from "./http-call.ts";

const MAX_ANSWER_BYTES = 32 * 1024 * 1024;

const Refusal = z.object({ detail: z.string() });
const REFUSAL_CHARS = 300;

/** With the api's own words where it has some, as for a token that was used already. */
export function answered({ status, text }: HttpAnswer, to = ""): string {
  const { value } = readJson(Refusal, text);
  return `the api answered ${status}${to}${value ? `: ${oneLine(value.detail, REFUSAL_CHARS)}` : ""}`;
}

type Question = Pick<HttpCall, "method" | "headers" | "body" | "timeoutMs" | "signal"> & {
  readonly path: string;
};

/** The answer, or why there is none, in words. */
export async function ask(apiUrl: string, question: Question): Promise<HttpAnswer | string> {
  const { path, ...call } = question;
  try {
    const to = { url: `${apiUrl}${path}` };
    return await httpCall({ ...call, to, maxBytes: MAX_ANSWER_BYTES });
  } catch (error) {
    return `the api cannot be asked: ${error instanceof Error ? error.message : String(error)}`;
  }
}
