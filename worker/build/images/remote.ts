import { type Egress, type EgressAnswer, EgressRefused, isHere } from "../../egress/request.ts";
import { type Registry, registryOf } from "../registry.ts";
import {
  LONG_MS,
  type RegistryAnswer,
  RegistryError,
  type RegistryFailure,
  type RegistryRequest,
  SHORT_MS,
} from "../registry-call.ts";
import { challengeOf, readToken, tokenUrl } from "./login.ts";
import type { RemoteRegistry } from "./places.ts";

/**
 * A registry that is not Waybill's own, for reading one repository: asked through the egress policy
 * and without credentials. Where it wants a token for the anonymous, one is fetched as the CNCF
 * distribution describes it.
 */
export function openRemote(egress: Egress, registry: RemoteRegistry, repository: string): Registry {
  let token: string | undefined;

  async function ask(url: URL, request: RegistryRequest, signal: AbortSignal) {
    if (request.method !== "GET" && request.method !== "HEAD") {
      throw new Error(`${request.method} to a registry that is only read`);
    }
    const { method, headers } = request;
    const send = () =>
      egress(url, {
        method,
        headers: { ...headers, ...(token !== undefined && { authorization: `Bearer ${token}` }) },
        reach: registry.onLoopback ? "this-machine" : "outside",
        signal,
      });
    const answer = await send();
    const challenge = answer.status === 401 ? challengeOf(answer.headers) : undefined;
    if (challenge === undefined) return answer;
    answer.body.destroy();
    const realm = tokenUrl(challenge, repository);
    const onLoopback = registry.onLoopback && isHere(realm);
    token = await readToken(
      await egress(realm, {
        method: "GET",
        reach: onLoopback ? "this-machine" : "outside",
        signal,
      }),
    );
    return token === undefined ? undefined : await send();
  }

  return registryOf(async (doing, request) => {
    const url = request.path instanceof URL ? request.path : new URL(registry.url + request.path);
    const timeout = AbortSignal.timeout(request.long ? LONG_MS : SHORT_MS);
    const signal = AbortSignal.any([request.signal, timeout]);
    const answer = await ask(url, request, signal).catch((error: unknown) => {
      request.signal.throwIfAborted();
      if (error instanceof EgressRefused) throw new RegistryError("refused", error.message);
      throw unreachable(registry, doing, error);
    });
    if (answer !== undefined && request.expect.includes(answer.status)) {
      return answerOf(answer, request, (cause) => unreachable(registry, doing, cause));
    }
    answer?.body.destroy();
    const kind = answer === undefined ? "denied" : failureOf(answer.status);
    const how = answer === undefined ? "lets nobody in" : `answered ${answer.status}`;
    throw new RegistryError(kind, `could not ${doing}: ${registry.name} ${how}`, answer?.status);
  });
}

function unreachable(registry: RemoteRegistry, doing: string, cause: unknown): RegistryError {
  const message = `could not ${doing}: ${registry.name} does not answer`;
  return new RegistryError("unreachable", message, undefined, cause);
}

function answerOf(
  { status, headers, body }: EgressAnswer,
  request: RegistryRequest,
  failure: (cause: unknown) => RegistryError,
): RegistryAnswer {
  const isRead = request.method === "GET";
  if (!isRead) body.destroy();
  return { status, headers, body: isRead ? readable(body, failure) : null, location: undefined };
}

async function* readable(
  body: AsyncIterable<Uint8Array>,
  failure: (cause: unknown) => RegistryError,
): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (cause) {
    throw failure(cause);
  }
}

function failureOf(status: number): RegistryFailure {
  if (status === 404) return "missing";
  if (status === 401 || status === 403) return "denied";
  return status === 429 || status >= 500 ? "unreachable" : "broken";
}
