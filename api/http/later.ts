import type { Context } from "hono";
import type { Aborting } from "./changes.ts";
import { problemAnswer } from "./problems.ts";
import { headersOf, type KnownCall } from "./route.ts";

/** An answer as plain as it can be kept. */
export type PlainAnswer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
};

/**
 * How a platform answers the request under way with what `wait` comes to, which never fails. Where it
 * can, it holds nothing of the request meanwhile but the way back. `gone` is aborted when nobody waits
 * for the answer any more.
 */
export type Later = (
  c: Context,
  wait: (gone: Aborting) => Promise<PlainAnswer>,
) => Response | Promise<Response>;

/**
 * The answer to a question that thousands may ask at once and wait for: `wait` keeps nothing of the call
 * but what it needs, and the call is over as far as everybody else is concerned.
 */
export function answerLater(
  call: KnownCall,
  wait: (gone: Aborting) => Promise<PlainAnswer>,
): Response | Promise<Response> {
  const { c, deps, requestId, route } = call;
  const { log } = deps;
  const { method, path } = c.req;
  const named = (answer: PlainAnswer) => ({
    ...answer,
    headers: { "x-request-id": requestId, ...headersOf(route), ...answer.headers },
  });
  const refused = (error: unknown) => named(problemAnswer(error, { method, path, requestId }, log));
  return deps.later(c, (gone) => wait(gone).then(named, refused));
}
