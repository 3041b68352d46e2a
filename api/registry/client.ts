import type { Digest } from "../../contract/ids.ts";
import { Problem } from "../../contract/problem.ts";
import type { ApiDeps } from "../deps.ts";

type Registry = Pick<ApiDeps, "registry" | "log">;

/** For answers that take no work. */
export const ANSWER_MS = 10_000;
/** A registry on top of an object store copies the bytes when they are committed. */
export const COMMIT_MS = 120_000;

/** Where an upload of bytes without a digest yet is going. */
export type UploadSession = { readonly location: string };

/** Whether the registry has these bytes in this repository. */
export async function blobExists(
  deps: Registry,
  repository: string,
  digest: Digest,
): Promise<boolean> {
  const path = `/v2/${repository}/blobs/${digest}`;
  const answer = await ask(deps, path, { method: "HEAD", ...within(ANSWER_MS) });
  await answer.body?.cancel();
  if (answer.status === 404) return false;
  if (answer.status === 200) return true;
  throw unavailable(`looking for a blob: HTTP ${answer.status}`);
}

export async function openUpload(deps: Registry, repository: string): Promise<UploadSession> {
  const path = `/v2/${repository}/blobs/uploads/`;
  const answer = await ask(deps, path, { method: "POST", ...within(ANSWER_MS) });
  return await nextSession(deps, answer, "opening an upload");
}

/** Streams the bytes, as slowly as the registry takes them. */
export async function sendUpload(
  deps: Registry,
  session: UploadSession,
  bytes: ReadableStream<Uint8Array>,
): Promise<UploadSession> {
  const options = {
    method: "PATCH",
    headers: { "content-type": "application/octet-stream" },
    body: bytes,
    duplex: "half",
  } as const;
  return await nextSession(deps, await ask(deps, session.location, options), "sending bytes");
}

/** Makes the bytes a blob: from here on they are there for everyone who knows the digest. */
export async function commitUpload(
  deps: Registry,
  session: UploadSession,
  digest: Digest,
): Promise<void> {
  const url = new URL(session.location);
  url.searchParams.set("digest", digest);
  const answer = await ask(deps, url.href, { method: "PUT", ...within(COMMIT_MS) });
  await answer.body?.cancel();
  if (answer.status !== 201) throw unavailable(`keeping an upload: HTTP ${answer.status}`);
}

/** Throws the bytes away. One that cannot be reached is swept by the registry itself, later. */
export async function cancelUpload(deps: Registry, session: UploadSession): Promise<void> {
  try {
    const answer = await ask(deps, session.location, { method: "DELETE", ...within(ANSWER_MS) });
    await answer.body?.cancel();
  } catch (error) {
    deps.log.warn("an upload could not be cancelled", { reason: String(error) });
  }
}

/** Whether it speaks the registry's protocol just now. */
export async function registryAnswers(deps: Registry): Promise<boolean> {
  try {
    const answer = await ask(deps, "/v2/", within(2_000));
    await answer.body?.cancel();
    return answer.status === 200 || answer.status === 401;
  } catch (error) {
    if (error instanceof Problem) return false;
    throw error;
  }
}

/** One request to the registry. Its password, where its URL has one, travels as a header. */
export async function ask(
  deps: Pick<Registry, "registry">,
  path: string,
  options: RequestInit & { duplex?: "half" } = {},
): Promise<Response> {
  const base = new URL(deps.registry.url);
  const url = new URL(path, base);
  const headers = new Headers(options.headers);
  if (base.username !== "" && url.host === base.host) {
    const user = `${decodeURIComponent(base.username)}:${decodeURIComponent(base.password)}`;
    headers.set("authorization", `Basic ${btoa(user)}`);
  }
  url.username = "";
  url.password = "";
  try {
    return await deps.registry.fetch(url, { ...options, headers });
  } catch (error) {
    throw unavailable("no answer", error);
  }
}

export function within(ms: number) {
  return { signal: AbortSignal.timeout(ms) };
}

async function nextSession(
  deps: Registry,
  answer: Response,
  doing: string,
): Promise<UploadSession> {
  await answer.body?.cancel();
  const location = answer.headers.get("location");
  if (answer.status !== 202 || location === null) {
    throw unavailable(`${doing}: HTTP ${answer.status}`);
  }
  return { location: new URL(location, answer.url || deps.registry.url).href };
}

function unavailable(what: string, cause?: unknown): Problem {
  return new Problem("registry-unavailable", `The registry did not do its part (${what}).`, {
    cause,
  });
}
