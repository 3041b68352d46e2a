import type { Context } from "hono";
import { PROBLEMS, Problem } from "../../contract/problem.ts";
import { databaseUnavailable, withoutValues } from "../../db/errors.ts";
import { causeChain, type Log } from "../../kit/log.ts";
import { registryErrorResponse } from "../registry/errors.ts";
import type { PlainAnswer } from "./later.ts";

/** The members of RFC 9457, and the problem's own. */
export function problemBody(problem: Problem): Record<string, unknown> {
  const { status, title } = PROBLEMS[problem.slug];
  return {
    type: `/problems/${problem.slug}`,
    title,
    status,
    detail: problem.message,
    ...problem.extras,
  };
}

export function problemResponse(problem: Problem, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(problemBody(problem)), {
    status: problem.status,
    headers: { ...TYPE, ...headers },
  });
}

const TYPE = { "content-type": "application/problem+json" };

type Asked = { readonly method: string; readonly path: string; readonly requestId: string };

/** The one place where an error becomes an answer. What nobody foresaw is logged, and told to nobody else. */
export function answerError(error: unknown, c: Context, log: Log, requestId: string): Response {
  const { method, path } = c.req;
  const problem = loggedProblem(error, { method, path, requestId }, log);
  const answer = path.startsWith("/v2/") ? registryErrorResponse(path) : problemResponse;
  return answer(problem, headersOf(problem, path));
}

/** The same of a request that is answered later. */
export function problemAnswer(error: unknown, asked: Asked, log: Log): PlainAnswer {
  const problem = loggedProblem(error, asked, log);
  return {
    status: problem.status,
    headers: { ...TYPE, ...headersOf(problem, asked.path) },
    body: JSON.stringify(problemBody(problem)),
  };
}

function loggedProblem(error: unknown, asked: Asked, log: Log): Problem {
  const problem = toProblem(error);
  if (problem.slug === "internal") {
    log.error("request failed", withoutValues(error), asked);
  } else if (problem.status >= 500 && problem.slug !== "not-ready") {
    const causes = causeChain(withoutValues(error)).map((message) => message.split("\n", 1)[0]);
    log.warn("request not served", { ...asked, problem: problem.slug, causes });
  }
  return problem;
}

export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (databaseUnavailable(error)) {
    return new Problem("database-unavailable", "The database does not answer; try again soon.", {
      cause: error,
    });
  }
  return new Problem("internal", "This was not foreseen. The api's log has it, by the request id.");
}

function headersOf(problem: Problem, path: string): Record<string, string> {
  if (problem.status === 401) {
    return { "www-authenticate": path.startsWith("/v2/") ? 'Basic realm="waybill"' : "Bearer" };
  }
  if (problem.status === 503 || problem.extras.retry === true) return { "retry-after": "1" };
  return {};
}
