import { Digest } from "../../contract/ids.ts";
import { isReadableBy } from "../../contract/image-reference.ts";
import { Problem } from "../../contract/problem.ts";
import { change } from "../apps/change.ts";
import { readBytes } from "../http/body.ts";
import { boundedBody, refuseTooLong } from "../http/bounded-body.ts";
import type { KnownCall } from "../http/route.ts";
import { ANSWER_MS, ask, COMMIT_MS, cancelUpload, within } from "./client.ts";
import { passBack, passOn } from "./pass.ts";
import type { RegistryPath } from "./path.ts";

/*
 * A push, as the CNCF distribution describes it: blobs by POST, PATCH and PUT of an upload, then the
 * manifest. All of it is the registry's own work; here it is decided who may, how much, and that no
 * address of the registry is told.
 */

const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;

type PathOf<Kind> = Extract<RegistryPath, { kind: Kind }>;

/** Opens an upload, or mounts a blob of a repository that the caller may read. */
export async function openBlobUpload(
  call: KnownCall,
  { repository }: PathOf<"uploads">,
): Promise<Response> {
  const asked = Object.fromEntries(new URL(call.c.req.url).searchParams);
  const mount = Digest.safeParse(asked.mount);
  const { from = "" } = asked;
  const mayMount = mount.success && isReadableBy(call.caller.projectName, from);
  const query = mayMount ? `?${new URLSearchParams({ mount: mount.data, from })}` : "";
  const path = `/v2/${repository}/blobs/uploads/${query}`;
  const answer = await passOn(call, path, { method: "POST", ...within(ANSWER_MS) });
  if (answer.status === 201) return passBack(answer, `/v2/${repository}/blobs/${mount.data}`);
  return passBack(answer, uploadLocation(call, answer, repository));
}

/** The next bytes of an upload, and with PUT its end. */
export async function continueBlobUpload(
  call: KnownCall,
  path: PathOf<"upload">,
): Promise<Response> {
  const isEnd = call.c.req.method === "PUT";
  const target = uploadPath(call, path);
  const digest = isEnd ? digestOf(call) : undefined;
  if (isEnd && !hasBody(call)) {
    const answer = await passOn(call, target, { method: "PUT", ...within(COMMIT_MS) });
    return passBack(answer, committed(answer, path, digest));
  }
  refuseTooLong(call);
  const limit = call.deps.config.maxArtifactBytes - (await bytesSoFar(call, target));
  const body = boundedBody(call.c.req.raw.body, limit);
  // Sent as bytes that go on, also with PUT: only whoever has taken all of them may end the upload.
  const taken = await passOn(call, withoutDigest(target), {
    method: "PATCH",
    // A registry takes a blob's bytes as no other kind, whatever their sender calls them.
    headers: { "content-type": "application/octet-stream" },
    body: body.stream,
    duplex: "half",
  });
  const next = taken.status === 202 ? uploadLocation(call, taken, path.repository) : undefined;
  try {
    body.end();
  } catch (error) {
    await taken.body?.cancel();
    if (next) await cancelUpload(call.deps, { location: next });
    throw error;
  }
  if (!isEnd || next === undefined) return passBack(taken, next);
  await taken.body?.cancel();
  const ended = withDigest(next, digest);
  const answer = await passOn(call, ended, { method: "PUT", ...within(COMMIT_MS) });
  return passBack(answer, committed(answer, path, digest));
}

/** How far an upload is (GET), or its end without a blob (DELETE). */
export async function askBlobUpload(call: KnownCall, path: PathOf<"upload">): Promise<Response> {
  const method = call.c.req.method === "DELETE" ? "DELETE" : "GET";
  const answer = await passOn(call, uploadPath(call, path), { method, ...within(ANSWER_MS) });
  const goesOn = method === "GET" && answer.status === 204;
  return passBack(answer, goesOn ? uploadPath(call, path) : undefined);
}

/** Stores a manifest, whose blobs are there by now, and writes down who pushed it. */
export async function putManifest(
  call: KnownCall,
  { repository, reference }: PathOf<"manifest">,
): Promise<Response> {
  const body = await readBytes(call, MAX_MANIFEST_BYTES);
  const path = `/v2/${repository}/manifests/${reference}`;
  const answer = await passOn(call, path, { method: "PUT", body, ...within(COMMIT_MS) });
  if (answer.status !== 201) return passBack(answer);
  const digest = answer.headers.get("docker-content-digest");
  const separator = reference.startsWith("sha256:") ? "@" : ":";
  const object = `image:${repository}${separator}${reference}`;
  await change(call, "", async () => ({
    status: 201,
    value: null,
    audits: [{ object, before: null, after: digest }],
  }));
  return passBack(answer, `/v2/${repository}/manifests/${digest ?? reference}`);
}

/** What the registry has of an upload: its answer's Range ends with the last byte. */
async function bytesSoFar(call: KnownCall, target: string): Promise<number> {
  const answer = await ask(call.deps, withoutDigest(target), { ...within(ANSWER_MS) });
  await answer.body?.cancel();
  const last = /^(?:bytes=)?0-(\d+)$/.exec(answer.headers.get("range") ?? "")?.[1];
  return last === undefined || last === "0" ? 0 : Number(last) + 1;
}

/** The registry's own state of an upload travels in the query, signed by it. */
function uploadPath(call: KnownCall, { repository, session }: PathOf<"upload">): string {
  return `/v2/${repository}/blobs/uploads/${session}${new URL(call.c.req.url).search}`;
}

/** Where the upload goes on, below our own address. */
function uploadLocation(call: KnownCall, answer: Response, repository: string): string | undefined {
  const location = answer.headers.get("location");
  if (answer.status !== 202 || location === null) return undefined;
  const url = new URL(location, call.deps.registry.url);
  if (url.pathname.startsWith(`/v2/${repository}/blobs/uploads/`)) return url.pathname + url.search;
  throw new Problem("registry-unavailable", "The registry takes uploads at another place.");
}

function committed(
  answer: Response,
  { repository }: PathOf<"upload">,
  digest: string | undefined,
): string | undefined {
  return answer.status === 201 ? `/v2/${repository}/blobs/${digest}` : undefined;
}

function digestOf(call: KnownCall): Digest {
  const read = Digest.safeParse(new URL(call.c.req.url).searchParams.get("digest"));
  if (read.success) return read.data;
  throw new Problem("digest-mismatch", "An upload ends with ?digest=sha256: and 64 hex digits.");
}

function withoutDigest(path: string): string {
  const url = new URL(path, "http://registry");
  url.searchParams.delete("digest");
  return url.pathname + url.search;
}

function withDigest(path: string, digest: string | undefined): string {
  const url = new URL(path, "http://registry");
  if (digest !== undefined) url.searchParams.set("digest", digest);
  return url.pathname + url.search;
}

function hasBody(call: KnownCall): boolean {
  const length = call.c.req.header("content-length");
  return call.c.req.header("transfer-encoding") !== undefined || (length ?? "0") !== "0";
}
