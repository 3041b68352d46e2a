import type { Probe } from "../../contract/pod/probe.ts";

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

export const EXCERPT_BYTES = 200;

/** On one line, without control characters: it ends up in terminals and logs. */
export function printable(text: string): string {
  return text
    .replace(/\p{C}+/gu, " ")
    .trim()
    .slice(0, EXCERPT_BYTES);
}

export function msSince(startedAtMs: number): number {
  return Math.round((performance.now() - startedAtMs) * 10) / 10;
}

export function noAnswerWithin({ timeoutSeconds }: Pick<Probe, "timeoutSeconds">): string {
  return `no answer within ${timeoutSeconds} s`;
}
