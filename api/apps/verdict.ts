import { Problem } from "../../contract/problem.ts";
import type { EventRow } from "../../db/apps/history.ts";
import { plainText } from "../http/plain-text.ts";
import { problemBody, toProblem } from "../http/problems.ts";
import type { KnownCall } from "../http/route.ts";
import { streamed } from "../http/streamed.ts";
import { appUrl, type DeclareAnswer } from "./answers.ts";
import type { Accepted } from "./declare.ts";
import { type Ending, follow } from "./wait.ts";

export type WaitOptions = {
  readonly timeoutSeconds: number;
  /** The body of the final answer, made of what each release's own answer became. */
  readonly compose: (answers: readonly DeclareAnswer[]) => unknown;
};

type Verdict = {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly text: string;
};

/**
 * Answers when every one of the releases is over: as one JSON answer, or as a stream of their
 * events with the verdict last, by what the caller accepts.
 */
export function answerWhenOver(
  call: KnownCall,
  accepted: readonly Accepted[],
  options: WaitOptions,
): Promise<Response> | Response {
  const progress = followAll(call, accepted, options);
  const accept = call.c.req.header("accept") ?? "";
  if (accept.includes("application/x-ndjson")) {
    return streamed("application/x-ndjson", lines(progress, ndjsonEvent, ndjsonVerdict));
  }
  if (accept.includes("text/plain")) {
    return streamed("text/plain; charset=utf-8", lines(progress, textEvent, textVerdict));
  }
  return answerOnce(progress);
}

/** Each release's events, one release after the other, and what it all came to. */
async function* followAll(
  call: KnownCall,
  accepted: readonly Accepted[],
  options: WaitOptions,
): AsyncGenerator<EventRow, Verdict> {
  const untilMs = Date.now() + options.timeoutSeconds * 1_000;
  const signal = AbortSignal.any([call.c.req.raw.signal, call.deps.stopping]);
  const answers: DeclareAnswer[] = [];
  for (const { answer, watched } of accepted) {
    const ending = yield* follow(call.deps, watched, { untilMs, signal });
    if (ending.kind !== "live") {
      const problem = problemOf(answer, ending);
      const text = `${problem.message}${logText(ending)}`;
      return { status: problem.status, body: problemBody(problem), text };
    }
    const { spec, phase, digest, httpPort } = ending.release;
    // Whether it takes requests may be known only now, from its image.
    answers.push({ ...answer, phase, digest, url: appUrl(call.deps.config, spec, httpPort) });
  }
  const body = options.compose(answers) as Record<string, unknown>;
  return { status: 200, body, text: answers.map(liveText).join("\n") };
}

function liveText({ app, release, url }: DeclareAnswer): string {
  const where = url === null ? "; it takes no requests" : ` at ${url}`;
  return `live: release ${release} of ${app}${where}`;
}

function problemOf(answer: DeclareAnswer, ending: Exclude<Ending, { kind: "live" }>): Problem {
  const { app, release } = answer;
  const extras = { app, release };
  switch (ending.kind) {
    case "failed": {
      const { reason, slug, log } = ending;
      return new Problem("release-failed", `Release ${release} of ${app} failed: ${reason}`, {
        extras: { ...extras, reason, slug, log },
      });
    }
    case "timeout":
      return new Problem(
        "wait-timeout",
        `Release ${release} of ${app} is still ${ending.phase}; it goes on.`,
        { extras: { ...extras, phase: ending.phase } },
      );
    case "stopping":
      return new Problem(
        "wait-timeout",
        `The api is about to stop; release ${release} of ${app} goes on.`,
        { extras },
      );
  }
}

async function answerOnce(progress: AsyncGenerator<EventRow, Verdict>): Promise<Response> {
  for (;;) {
    const step = await progress.next();
    if (!step.done) continue;
    const { status, body } = step.value;
    const type = status === 200 ? "application/json" : "application/problem+json";
    return new Response(JSON.stringify(body), { status, headers: { "content-type": type } });
  }
}

async function* lines(
  progress: AsyncGenerator<EventRow, Verdict>,
  eventLine: (event: EventRow) => string,
  verdictLine: (verdict: Verdict) => string,
): AsyncGenerator<string, void> {
  try {
    const verdict = yield* mapped(progress, eventLine);
    yield verdictLine(verdict);
  } catch (error) {
    const problem = toProblem(error);
    const body = problemBody(problem);
    yield verdictLine({ status: problem.status, body, text: problem.message });
  }
}

async function* mapped<T, R>(
  source: AsyncGenerator<T, R>,
  map: (item: T) => string,
): AsyncGenerator<string, R> {
  try {
    for (;;) {
      const step = await source.next();
      if (step.done) return step.value;
      yield map(step.value);
    }
  } finally {
    await source.return(undefined as never);
  }
}

function ndjsonEvent({ at, type, message, release }: EventRow): string {
  return `${JSON.stringify({ at: at.toISOString(), type, message, release })}\n`;
}

/** A problem's own `type` moves aside: on this stream every line's `type` says what the line is. */
function ndjsonVerdict({ status, body }: Verdict): string {
  const { type: problem, ...rest } = body;
  const verdict = { type: "verdict", ...rest, ...(status !== 200 && { problem }), status };
  return `${JSON.stringify(verdict)}\n`;
}

function textEvent({ at, message }: EventRow): string {
  return `${at.toISOString().slice(11, 19)}  ${plainText(message.replaceAll("\n", " "))}\n`;
}

function textVerdict({ text }: Verdict): string {
  return `${text}\n`;
}

function logText(ending: Ending): string {
  if (ending.kind !== "failed" || ending.log.length === 0) return "";
  return `\n${ending.log.map((line) => `    ${plainText(line)}`).join("\n")}`;
}
