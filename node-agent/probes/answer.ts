import type { Probe } from "../../contract/pod/probe.ts";
import { oneLine } from "../report/words.ts";

/** What one question to a container gave. */
export type Answer = {
  /**
   * `refused` is a bad answer that cost nothing: nobody listens there. `unclear` says nothing about
   * the container: the runtime or this agent itself did not do its part.
   */
  readonly outcome: "good" | "bad" | "refused" | "unclear";
  /** HTTP status, or the exit code of a command. */
  readonly status: number | undefined;
  /** First bytes of the answer, or what went wrong; one line. */
  readonly excerpt: string;
  readonly latencyMs: number;
};

const EXCERPT_CHARS = 200;

export function excerptOf(text: string): string {
  return oneLine(text, EXCERPT_CHARS);
}

export function msSince(startedAtMs: number): number {
  return Math.round((performance.now() - startedAtMs) * 10) / 10;
}

export function noAnswerWithin({ timeoutSeconds }: Pick<Probe, "timeoutSeconds">): string {
  return `no answer within ${timeoutSeconds} s`;
}
