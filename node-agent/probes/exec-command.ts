import { innermost } from "../report/words.ts";
import { type Runtime, RuntimeError } from "../runtime/runtime.ts";
import { type Answer, excerptOf, msSince, noAnswerWithin } from "./answer.ts";

/** The runtime's words where it is the command that cannot be started, and not the runtime that fails. */
const NO_SUCH_COMMAND = /unable to start container process|executable file not found/;

/** Runs a command in the container: good when it ends with 0. */
export async function execCommand(
  execSync: Runtime["execSync"],
  container: string,
  question: { readonly command: readonly string[]; readonly timeoutSeconds: number },
): Promise<Answer> {
  const startedAtMs = performance.now();
  try {
    const { exitCode, stdout, stderr } = await execSync(container, question.command, question);
    // What went wrong first: the excerpt is short.
    const words = Buffer.concat([stderr, stdout]).toString("utf8");
    return {
      outcome: exitCode === 0 ? "good" : "bad",
      status: exitCode,
      excerpt: excerptOf(words),
      latencyMs: msSince(startedAtMs),
    };
  } catch (error) {
    return { ...notRun(error, question), status: undefined, latencyMs: msSince(startedAtMs) };
  }
}

function notRun(
  error: unknown,
  question: { readonly timeoutSeconds: number },
): Pick<Answer, "outcome" | "excerpt"> {
  if (!(error instanceof RuntimeError)) throw error;
  if (error.code === "DEADLINE_EXCEEDED")
    return { outcome: "bad", excerpt: noAnswerWithin(question) };
  const cause = error.cause instanceof Error ? error.cause.message : String(error.cause);
  const outcome = NO_SUCH_COMMAND.test(cause) ? "bad" : "unclear";
  return { outcome, excerpt: excerptOf(innermost(cause)) };
}
