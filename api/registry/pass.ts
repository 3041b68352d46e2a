import { Problem } from "../../contract/problem.ts";
import type { Call } from "../http/route.ts";
import { ask } from "./client.ts";

const REQUEST_HEADERS = ["accept", "range", "if-none-match", "content-type", "content-range"];
const ANSWER_HEADERS = [
  "content-type",
  "content-length",
  "content-range",
  "accept-ranges",
  "docker-content-digest",
  "docker-upload-uuid",
  "etag",
  "range",
];
/** A registry's list of what was wrong with a request; what is longer is not passed on. */
const MAX_ERROR_CHARS = 64 * 1024;

/** Asks the registry what the caller asked, with the headers that mean something to it, and lets no unforeseen answer through. */
export async function passOn(
  call: Call,
  path: string,
  options: RequestInit & { duplex?: "half" },
): Promise<Response> {
  const headers = new Headers(options.headers);
  for (const name of REQUEST_HEADERS) {
    const value = call.c.req.header(name);
    if (value !== undefined && !headers.has(name)) headers.set(name, value);
  }
  const answer = await ask(call.deps, path, { ...options, headers });
  const isAnswer = answer.status >= 200 && answer.status < 300;
  if (isAnswer || answer.status === 304 || TOLD.has(answer.status)) return answer;
  await answer.body?.cancel();
  throw new Problem("registry-unavailable", `The registry answered HTTP ${answer.status}.`);
}

/** What the caller did wrong. Anything else is between the api and its registry. */
const TOLD = new Set([400, 404, 405, 413, 416]);

/** The registry's answer as the caller gets it, with a Location of ours instead of the registry's. */
export async function passBack(answer: Response, location?: string): Promise<Response> {
  const headers = new Headers({ "docker-distribution-api-version": "registry/2.0" });
  for (const name of ANSWER_HEADERS) {
    const value = answer.headers.get(name);
    if (value !== null) headers.set(name, value);
  }
  // Of the next page of tags: it leads nowhere but below /v2.
  const link = answer.headers.get("link");
  if (link?.startsWith("</v2/")) headers.set("link", link);
  if (location !== undefined) headers.set("location", location);
  if (!TOLD.has(answer.status))
    return new Response(answer.body, { status: answer.status, headers });
  const text = await answer.text();
  headers.delete("content-length");
  return new Response(text.slice(0, MAX_ERROR_CHARS), { status: answer.status, headers });
}
