import { z } from "zod";
import type { NodeId } from "../../contract/ids.ts";
import { PodRange, reachableAddress, SESSION_HEADER } from "../../contract/node/host.ts";
import {
  DesiredState,
  HELD_HEADER,
  type HeldWish,
  heldText,
  JoinAnswer,
  type JoinRequest,
  type NodeReport,
  wishTag,
} from "../../contract/node/protocol.ts";
import { apiSkew, PROTOCOL, PROTOCOL_HEADER, toldProtocol } from "../../contract/node/skew.ts";
import { readIfThere, writeDurably } from "../disk/durable-file.ts";
import { readJson } from "../disk/read-json.ts";
import { answered, ask } from "./ask.ts";
import type { HttpAnswer } from "./http-call.ts";

/** Who this node is to its api, kept in `node.json`; `publicKey` is what the api seals its secrets for. */
const Identity = JoinAnswer.extend({
  api: z.string(),
  publicKey: z.string().optional(),
  podRange: PodRange.optional(),
});
export type Identity = z.infer<typeof Identity>;

/** What a question gave. Nothing but a whole, valid document is news; no answer ever means "stop". */
export type Heard =
  | { readonly kind: "desired"; readonly state: DesiredState; readonly identity: Identity }
  | { readonly kind: "unchanged" }
  | {
      readonly kind: "nothing-new";
      readonly because: string;
      /** The api answered, and what it has to say is not for this agent. */
      readonly refused?: Refused;
    };

/**
 * `taken`: another agent speaks for this node. That may be this host's own of before a reboot, and pass
 * soon. `unknown`: the api does not know this node by this token; it was fenced, say, or away for too long.
 */
export type Refused = "taken" | "unknown";

export type Sent =
  | { readonly kind: "sent" }
  | { readonly kind: "not-sent"; readonly because: string };

export type ApiClient = {
  /** Who this node is, once it has joined, in this run or an earlier one. */
  identity(): Identity | undefined;
  /**
   * Asks for another wish than the one that is held, and waits up to 25 s for one unless `atOnce`; joins
   * first where that is needed.
   */
  fetchDesired(held: HeldWish | undefined, signal: AbortSignal, atOnce?: boolean): Promise<Heard>;
  /**
   * Sends what was seen with the wish of `node` in hand, and only while this is that node: one that joined
   * anew as another holds the wish of the one it was, whose generations say nothing of its own.
   */
  putReport(node: NodeId, report: NodeReport, signal: AbortSignal): Promise<Sent>;
  /** Any other question, in this node's name: an answer of whatever status, or why there is none. */
  ask(question: NodeQuestion, signal: AbortSignal): Promise<HttpAnswer | string>;
  /** In words, that the api speaks another protocol, and what to do; undefined: as far as is known it does not. */
  skew(): string | undefined;
  /** This host's own address on its way to the api, if another host could reach it there. */
  address(): string | undefined;
  /** Says that this agent stops, so that one of another boot need not wait. Nothing hangs on its being heard. */
  leave(): Promise<void>;
};

export type NodeQuestion = {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly json?: unknown;
  /** How long the api may take its time on purpose. */
  readonly waitMs?: number;
};

export type ApiClientOptions = {
  readonly apiUrl: string;
  readonly identityFile: string;
  readonly joinTokenFile: string;
  readonly version: string;
  /** The node's, raw. */
  readonly publicKey: Uint8Array;
  /** Tells this agent from others that have its token. */
  readonly session: string;
  /** The addresses that its pods have already; without it the api gives it some. */
  readonly podRange?: string;
  readonly waitMs?: number;
};

const CALL_MS = 10_000;
const WAIT_MS = 25_000;
/** How often a node that is known by an older key, or without its range, tries to join with its own. */
const JOIN_AGAIN_MS = 60_000;
/** While another agent speaks for this node, only the question for the wish asks whether it still does. */
const TAKEN_MS = 10_000;
const TAKEN = "another agent speaks for this node";
const ANOTHERS_WISH = "this node, which joined anew, has not been told its own wish yet";
const LEAVE_MS = 1_000;
const REFUSALS: ReadonlyMap<number, Refused> = new Map([
  [401, "unknown"],
  [403, "unknown"],
  [409, "taken"],
]);

/** The agent's side of contract/node/protocol.ts. */
export async function openApiClient(options: ApiClientOptions): Promise<ApiClient> {
  const publicKey = Buffer.from(options.publicKey).toString("base64");
  let identity = await keptIdentity(options);
  const waitMs = options.waitMs ?? WAIT_MS;
  let refused = false;
  let joinTrouble: string | undefined;
  /** Since this agent was started and joined: an earlier one was told less, or what is sealed for an older key. */
  let wasTold = false;
  let joinTriedAtMs = Number.NEGATIVE_INFINITY;
  let takenAtMs = Number.NEGATIVE_INFINITY;
  let address: string | undefined;
  let skew: string | undefined;
  const headersOf = ({ token }: { readonly token: string }) => ({
    authorization: `Bearer ${token}`,
    [SESSION_HEADER]: options.session,
    [PROTOCOL_HEADER]: String(PROTOCOL),
  });
  const headersAbout = (held: HeldWish) => ({
    [HELD_HEADER]: heldText(held),
    ...(wasTold && { "if-none-match": wishTag(held) }),
  });
  const isTaken = () => performance.now() - takenAtMs < TAKEN_MS;

  /**
   * A node whose token is refused, or whose key the api does not know, joins again where it can. Where
   * it cannot it goes on with the token that it has: the refusal may have been a passing fault.
   */
  async function joined(signal: AbortSignal): Promise<Identity | string> {
    const known =
      identity?.publicKey === publicKey &&
      (options.podRange === undefined || identity.podRange === options.podRange);
    if (identity && known && !refused) return identity;
    if (identity && !refused && performance.now() - joinTriedAtMs < JOIN_AGAIN_MS) return identity;
    joinTriedAtMs = performance.now();
    // Read anew each time, since whoever runs the node may replace it meanwhile.
    const joinToken = (await readIfThere(options.joinTokenFile))?.trim();
    const { version, podRange } = options;
    const request = { version, publicKey, ...(podRange !== undefined && { podRange }) };
    const answer = await join(options, joinToken, request, signal);
    joinTrouble = typeof answer === "string" ? answer : undefined;
    if (typeof answer === "string") return identity ?? answer;
    identity = { ...answer, api: options.apiUrl, publicKey };
    refused = false;
    wasTold = false;
    await writeDurably(options.identityFile, JSON.stringify(identity));
    return identity;
  }

  async function heardBy(
    who: Identity,
    held: HeldWish | undefined,
    waitsMs: number,
    signal: AbortSignal,
  ): Promise<Heard> {
    const answer = await ask(options.apiUrl, {
      method: "GET",
      path: `/v1/node/desired?waitMs=${waitsMs}`,
      headers: { ...headersOf(who), ...(held && headersAbout(held)) },
      timeoutMs: waitsMs + CALL_MS,
      signal,
    });
    if (typeof answer === "string") return { kind: "nothing-new", because: answer };
    const { status } = noted(who, answer);
    if (status === 304) return { kind: "unchanged" };
    if (status !== 200) {
      const refusal = REFUSALS.get(status);
      return {
        kind: "nothing-new",
        because: answered(answer),
        ...(refusal && { refused: refusal }),
      };
    }
    const { value: state, problem } = readJson(DesiredState, answer.text);
    if (!state) return { kind: "nothing-new", because: `the answer ${problem}` };
    wasTold = true;
    return { kind: "desired", state, identity: who };
  }

  function noted(by: Identity, answer: HttpAnswer): HttpAnswer {
    if (identity !== by) return answer;
    refused = answer.status === 401;
    skew = skewIn(answer, skew);
    if (answer.status === 409) takenAtMs = performance.now();
    else if (answer.status < 400) takenAtMs = Number.NEGATIVE_INFINITY;
    const { localAddress } = answer;
    address = localAddress === undefined ? undefined : reachableAddress(localAddress);
    return answer;
  }

  return {
    identity: () => identity,
    async fetchDesired(held, signal, atOnce = false) {
      const waitsMs = atOnce ? 0 : waitMs;
      // A refusal may have been a passing fault: so first by the token that there is.
      const who = refused && identity ? identity : await joined(signal);
      if (typeof who === "string") return { kind: "nothing-new", because: who };
      const heard = await heardBy(who, held, waitsMs, signal);
      if (!refused || heard.kind !== "nothing-new") return heard;
      const anew = await joined(signal);
      if (typeof anew !== "string" && anew !== who) return heardBy(anew, held, waitsMs, signal);
      const because = heard.because.replace(/\.$/, "");
      return { ...heard, because: `${because}; joining anew: ${joinTrouble}` };
    },
    async putReport(node, report, signal) {
      if (!identity) return { kind: "not-sent", because: "this node has not joined yet" };
      if (identity.node !== node) return { kind: "not-sent", because: ANOTHERS_WISH };
      if (isTaken()) return { kind: "not-sent", because: TAKEN };
      const who = identity;
      const answer = await ask(options.apiUrl, {
        method: "POST",
        path: "/v1/node/report",
        headers: { ...headersOf(who), "content-type": "application/json" },
        body: JSON.stringify(report),
        timeoutMs: CALL_MS,
        signal,
      });
      if (typeof answer === "string") return { kind: "not-sent", because: answer };
      const { status } = noted(who, answer);
      if (status >= 200 && status < 300) return { kind: "sent" };
      return { kind: "not-sent", because: answered(answer) };
    },
    async ask({ method, path, json, waitMs: patienceMs = 0 }, signal) {
      if (!identity) return "this node has not joined yet";
      if (isTaken()) return TAKEN;
      const who = identity;
      const answer = await ask(options.apiUrl, {
        method,
        path,
        headers: {
          ...headersOf(who),
          ...(json !== undefined && { "content-type": "application/json" }),
        },
        ...(json !== undefined && { body: JSON.stringify(json) }),
        timeoutMs: patienceMs + CALL_MS,
        signal,
      });
      return typeof answer === "string" ? answer : noted(who, answer);
    },
    skew: () => skew,
    address: () => address,
    async leave() {
      if (!identity) return;
      await ask(options.apiUrl, {
        method: "DELETE",
        path: "/v1/node/session",
        headers: headersOf(identity),
        timeoutMs: LEAVE_MS,
      });
    },
  };
}

/** What is not a good answer may be another's than the api's, and says nothing of it. */
function skewIn({ status, headers }: HttpAnswer, before: string | undefined): string | undefined {
  if (status >= 300 && status !== 304) return before;
  const told = toldProtocol(headers[PROTOCOL_HEADER]?.toString());
  return told === undefined ? before : apiSkew(told);
}

async function keptIdentity(options: ApiClientOptions): Promise<Identity | undefined> {
  const text = await readIfThere(options.identityFile);
  const kept = text === undefined ? undefined : readJson(Identity, text).value;
  return kept?.api === options.apiUrl ? kept : undefined;
}

async function join(
  { apiUrl, joinTokenFile, session }: ApiClientOptions,
  token: string | undefined,
  request: JoinRequest,
  signal: AbortSignal,
): Promise<JoinAnswer | string> {
  if (token === undefined) return `there is no join token at ${joinTokenFile}`;
  const answer = await ask(apiUrl, {
    method: "POST",
    path: "/v1/node/join",
    headers: {
      authorization: `Bearer ${token}`,
      [SESSION_HEADER]: session,
      [PROTOCOL_HEADER]: String(PROTOCOL),
      "content-type": "application/json",
    },
    body: JSON.stringify(request),
    timeoutMs: CALL_MS,
    signal,
  });
  if (typeof answer === "string") return answer;
  if (answer.status !== 200 && answer.status !== 201) return answered(answer, " to the join token");
  const { value, problem } = readJson(JoinAnswer, answer.text);
  return value ?? `the answer ${problem}`;
}
