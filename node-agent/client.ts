import { z } from "zod";
import { DesiredState, JoinAnswer, type NodeReport } from "../contract/node-protocol.ts";
import { readIfThere, writeDurably } from "./durable-file.ts";
import { type HttpAnswer, type HttpCall, httpCall } from "./http-call.ts";

/** Who this node is to its api, kept in `node.json`. */
const Identity = JoinAnswer.extend({ api: z.string() });
export type Identity = z.infer<typeof Identity>;

/** What a question gave. Nothing but a whole, valid document is news; no answer ever means "stop". */
export type Heard =
  | { readonly kind: "desired"; readonly state: DesiredState; readonly identity: Identity }
  | { readonly kind: "unchanged" }
  | { readonly kind: "nothing-new"; readonly because: string };

export type Sent =
  | { readonly kind: "sent" }
  | { readonly kind: "not-sent"; readonly because: string };

export type ApiClient = {
  /** Who this node is, once it has joined, in this run or an earlier one. */
  identity(): Identity | undefined;
  /** Waits up to 25 s for a wish of another generation; joins first where that is needed. */
  fetchDesired(generation: number | undefined, signal: AbortSignal): Promise<Heard>;
  putReport(report: NodeReport, signal: AbortSignal): Promise<Sent>;
};

export type ApiClientOptions = {
  readonly apiUrl: string;
  readonly identityFile: string;
  readonly joinTokenFile: string;
  readonly version: string;
  readonly waitMs?: number;
};

const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
/** A garbled answer of many pods has a complaint for each; this much of it helps, and fits a log line. */
const COMPLAINT_CHARS = 1_000;
const CALL_MS = 10_000;
const WAIT_MS = 25_000;

/** The agent's side of contract/node-protocol.ts. */
export async function openApiClient(options: ApiClientOptions): Promise<ApiClient> {
  let identity = await keptIdentity(options);
  const waitMs = options.waitMs ?? WAIT_MS;

  async function joined(signal: AbortSignal): Promise<Identity | string> {
    if (identity) return identity;
    const answer = await join(options, signal);
    if (typeof answer !== "string") identity = answer;
    return answer;
  }

  /** A refused token is forgotten, so that the next question joins again. */
  function refused(by: Identity, answer: HttpAnswer): string {
    if (answer.status === 401 && identity === by) identity = undefined;
    return `the api answered ${answer.status}`;
  }

  return {
    identity: () => identity,
    async fetchDesired(generation, signal) {
      const who = await joined(signal);
      if (typeof who === "string") return { kind: "nothing-new", because: who };
      const answer = await ask(options.apiUrl, {
        method: "GET",
        path: `/v1/node/desired?waitMs=${waitMs}`,
        headers: {
          ...bearer(who.token),
          ...(generation !== undefined && { "if-none-match": `"${generation}"` }),
        },
        timeoutMs: waitMs + CALL_MS,
        signal,
      });
      if (typeof answer === "string") return { kind: "nothing-new", because: answer };
      if (answer.status === 304) return { kind: "unchanged" };
      if (answer.status !== 200) return { kind: "nothing-new", because: refused(who, answer) };
      const state = parsed(DesiredState, answer.text);
      if (typeof state === "string") return { kind: "nothing-new", because: state };
      return { kind: "desired", state, identity: who };
    },
    async putReport(report, signal) {
      if (!identity) return { kind: "not-sent", because: "this node has not joined yet" };
      const who = identity;
      const answer = await ask(options.apiUrl, {
        method: "POST",
        path: "/v1/node/report",
        headers: { ...bearer(who.token), "content-type": "application/json" },
        body: JSON.stringify(report),
        timeoutMs: CALL_MS,
        signal,
      });
      if (typeof answer === "string") return { kind: "not-sent", because: answer };
      if (answer.status >= 200 && answer.status < 300) return { kind: "sent" };
      return { kind: "not-sent", because: refused(who, answer) };
    },
  };
}

async function keptIdentity(options: ApiClientOptions): Promise<Identity | undefined> {
  const text = await readIfThere(options.identityFile);
  const kept = text === undefined ? "none" : parsed(Identity, text);
  return typeof kept === "string" || kept.api !== options.apiUrl ? undefined : kept;
}

/** The join token is read anew each time, since whoever runs the node may replace it meanwhile. */
async function join(options: ApiClientOptions, signal: AbortSignal): Promise<Identity | string> {
  const token = await readIfThere(options.joinTokenFile);
  if (token === undefined) return `there is no join token at ${options.joinTokenFile}`;
  const answer = await ask(options.apiUrl, {
    method: "POST",
    path: "/v1/node/join",
    headers: { ...bearer(token.trim()), "content-type": "application/json" },
    body: JSON.stringify({ version: options.version }),
    timeoutMs: CALL_MS,
    signal,
  });
  if (typeof answer === "string") return answer;
  if (answer.status !== 200 && answer.status !== 201)
    return `the api answered ${answer.status} to the join token`;
  const granted = parsed(JoinAnswer, answer.text);
  if (typeof granted === "string") return granted;
  const identity = { ...granted, api: options.apiUrl };
  await writeDurably(options.identityFile, JSON.stringify(identity));
  return identity;
}

type Question = Pick<HttpCall, "method" | "headers" | "body" | "timeoutMs" | "signal"> & {
  readonly path: string;
};

/** The answer, or why there is none, in words. */
async function ask(apiUrl: string, question: Question): Promise<HttpAnswer | string> {
  const { path, ...call } = question;
  try {
    const to = { url: `${apiUrl}${path}` };
    return await httpCall({ ...call, to, maxBytes: MAX_ANSWER_BYTES });
  } catch (error) {
    return `the api cannot be asked: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function parsed<T>(schema: z.ZodType<T>, text: string): T | string {
  try {
    const read = schema.safeParse(JSON.parse(text));
    return read.success
      ? read.data
      : `the answer does not validate: ${z.prettifyError(read.error)}`.slice(0, COMPLAINT_CHARS);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return `the answer is not JSON: ${why}`.slice(0, COMPLAINT_CHARS);
  }
}

function bearer(token: string): { readonly authorization: string } {
  return { authorization: `Bearer ${token}` };
}
