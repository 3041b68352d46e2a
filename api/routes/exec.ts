import { z } from "zod";
import { fieldErrors } from "../../contract/document/mistakes.ts";
import {
  EXEC_SUBPROTOCOLS,
  type ExecSession,
  MAX_EXEC_COMMAND_BYTES,
} from "../../contract/node/exec.ts";
import { Problem } from "../../contract/problem.ts";
import type { AppRow } from "../../db/apps/apps.ts";
import { podsForExec } from "../../db/streams/execs.ts";
import { change, recordRead } from "../apps/change.ts";
import { exitProblem, inputFrames, openCollector } from "../exec/output.ts";
import { attendSession, beginSession, refuseTooMany, TOKEN_ENDED } from "../exec/session.ts";
import { type ExecPlace, type ExecTarget, execInvalid, execTarget } from "../exec/target.ts";
import { serveTerminal } from "../exec/terminal.ts";
import { readDocument, readText } from "../http/body.ts";
import { openListener } from "../http/listener.ts";
import { Flag, NoQuery } from "../http/query.ts";
import { type KnownCall, PEOPLE, type Route, route } from "../http/route.ts";
import { appInPath } from "./apps.ts";

const Command = z
  .array(z.string().refine((it) => !it.includes("\0"), "must not hold a NUL"))
  .min(1)
  .max(1_000)
  .refine((it) => it[0] !== "", "must begin with a program")
  .refine(
    (it) => it.join(" ").length <= MAX_EXEC_COMMAND_BYTES,
    `must be at most ${MAX_EXEC_COMMAND_BYTES} characters`,
  );
const Label = z.string().min(1).max(253);

const ExecRequest = z.strictObject({
  command: Command,
  container: Label.optional(),
  pod: Label.optional(),
  /** All of its input; without it there is none. */
  stdin: z
    .string()
    .max(512 * 1024)
    .optional(),
  timeoutSeconds: z.int().min(1).max(900).default(60),
});
const ExecAnswer = z.strictObject({
  stdout: z.string(),
  stderr: z.string(),
  exitCode: z.int(),
  /** Only where an output was longer than what is kept of it, one MiB. */
  cut: z.literal(true).optional(),
});
const TerminalQuery = z.strictObject({
  command: Command,
  container: Label.optional(),
  pod: Label.optional(),
  tty: Flag,
  stdin: Flag.prefault("true"),
});

/** An open terminal ends at some time, however often it is forgotten. */
const TERMINAL_SECONDS = 24 * 3_600;

const EXEC = {
  path: "/v1/apps/:app/exec",
  auth: PEOPLE,
  scope: "app:deploy",
  project: "own",
  audit: "app.exec",
} as const;

export const execRoutes: readonly Route[] = [
  route({
    ...EXEC,
    method: "POST",
    bodyLimit: 1024 * 1024,
    summary: "Run a command in a container of the app and answer what it wrote",
    query: NoQuery,
    body: ExecRequest,
    answers: { 200: ExecAnswer },
    handle: async (call) => {
      const app = await appInPath(call.deps.db, call);
      const text = await readText(call);
      const { stdin, timeoutSeconds, ...wish } = parsed(readDocument(call, text));
      const { command } = wish;
      const target = await targetOf(call, app, wish);
      const input = stdin === undefined ? undefined : inputFrames(stdin);
      const asked = { command, tty: false, stdin: input !== undefined, timeoutSeconds };
      const { value, replayed } = await change(call, text, async (tx) => ({
        status: 200,
        value: await beginSession(tx, { app: app.id, target, wish: asked }, input ?? []),
        audits: [{ object: objectOf(app, target, asked), before: null, after: null }],
      }));
      if (replayed) throw runAlready();
      return await answerOf(call, value);
    },
  }),
  route({
    ...EXEC,
    method: "GET",
    bodyLimit: 0,
    summary: "The same as a terminal: WebSocket, Kubernetes' channel protocol",
    query: TerminalQuery,
    answers: { 101: "frames, the first byte being the channel" },
    handle: async (call) => {
      const app = await appInPath(call.deps.db, call);
      if (call.c.req.header("upgrade")?.toLowerCase() !== "websocket") {
        throw new Problem("web-socket-needed", "Ask with Upgrade: websocket, or use POST.");
      }
      const { command, tty, stdin } = call.query;
      const target = await targetOf(call, app, call.query);
      const wish = { command, tty, stdin, timeoutSeconds: TERMINAL_SECONDS };
      const { db, upgrade } = call.deps;
      // Asked again when it begins; here the answer is still one of HTTP.
      await refuseTooMany(db, app.id);
      const begin = async () => {
        await recordRead(call, objectOf(app, target, wish));
        return await db.transaction((tx) => beginSession(tx, { app: app.id, target, wish }));
      };
      const { mayGoOn } = openListener(call);
      return upgrade(call.c, EXEC_SUBPROTOCOLS, (wire) =>
        serveTerminal(call.deps, wire, { begin, mayGoOn }),
      );
    },
  }),
];

async function answerOf(call: KnownCall, session: string): Promise<Response> {
  const collector = openCollector();
  const { mayGoOn } = openListener(call);
  const exit = await attendSession(call.deps, session, {
    signal: AbortSignal.any([call.c.req.raw.signal, call.deps.stopping]),
    onFrame: collector.add,
    endsBecause: async () => ((await mayGoOn()) ? undefined : TOKEN_ENDED),
  });
  const { stdout, stderr, cut } = collector.collected();
  if ("error" in exit) throw exitProblem(exit, { stdout, stderr });
  return call.c.json({ stdout, stderr, exitCode: exit.exitCode, ...(cut && { cut }) });
}

async function targetOf(call: KnownCall, app: AppRow, place: ExecPlace): Promise<ExecTarget> {
  return execTarget(app.name, await podsForExec(call.deps.db, app.id), place);
}

function parsed(document: unknown): z.infer<typeof ExecRequest> {
  const read = ExecRequest.safeParse(document);
  if (read.success) return read.data;
  throw execInvalid(fieldErrors(read.error, ExecRequest));
}

/** For the audit: which program and where, and none of its arguments, which may be secrets. */
function objectOf(app: AppRow, target: ExecTarget, { command }: Pick<ExecSession, "command">) {
  const program = (command[0] ?? "").replaceAll(/\p{C}/gu, "?").slice(0, 100);
  return `app:${app.name} pod:${target.candidate.name} container:${target.container} ${program}`;
}

function runAlready(): Problem {
  return new Problem(
    "idempotency-key-reused",
    "This command was run with the first request of this Idempotency-Key; its output is not kept.",
  );
}
