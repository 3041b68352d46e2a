import { z } from "zod";
import { REGISTRY_NAME } from "../../contract/node-protocol.ts";
import { Problem } from "../../contract/problem.ts";
import { imagesOfNode } from "../../db/desired.ts";
import { ask } from "../registry.ts";
import { type KnownCall, type Route, route } from "../route.ts";
import { nodeOf } from "./node-sync.ts";

/*
 * The registry, for nodes and for reading only, so that a node needs one address. What a node may
 * read: the base images, and the images of the pods that it should run now.
 */

const READ = {
  method: "GET",
  auth: ["node"],
  scope: null,
  project: "node",
  audit: null,
  bodyLimit: 0,
  // Clients that go by a mirror's address say in `ns` which registry they mean.
  query: z.looseObject({}),
} as const;

const PATH =
  /^\/v2\/((?:apps|base)(?:\/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+)\/(manifests|blobs)\/([A-Za-z0-9_][A-Za-z0-9._-]{0,127}|sha256:[0-9a-f]{64})$/;
const REQUEST_HEADERS = ["accept", "range", "if-none-match"];
const ANSWER_HEADERS = [
  "content-type",
  "content-length",
  "content-range",
  "accept-ranges",
  "docker-content-digest",
  "etag",
];

export const registryRoutes: readonly Route[] = [
  route({
    ...READ,
    path: "/v2/",
    summary: "Whether this token may pull images",
    answers: { 200: "yes" },
    handle: async (call) =>
      call.c.json({}, 200, { "docker-distribution-api-version": "registry/2.0" }),
  }),
  route({
    ...READ,
    path: "/v2/*",
    summary: "Manifests and blobs of the images that the node's pods are made of",
    answers: { 200: "the bytes" },
    handle: pull,
  }),
];

async function pull(call: KnownCall): Promise<Response> {
  const [path, repository = "", kind = "", reference = ""] = PATH.exec(call.c.req.path) ?? [];
  if (path === undefined) throw notHere();
  if (!repository.startsWith("base/")) await refuseForeign(call, repository, kind, reference);
  const asked = new Headers();
  for (const name of REQUEST_HEADERS) {
    const value = call.c.req.header(name);
    if (value !== undefined) asked.set(name, value);
  }
  const answer = await ask(call.deps, path, {
    method: call.c.req.method === "HEAD" ? "HEAD" : "GET",
    headers: asked,
    signal: call.c.req.raw.signal,
  });
  if (answer.status === 404) throw notHere();
  if (answer.status !== 200 && answer.status !== 206 && answer.status !== 304) {
    throw new Problem("registry-unavailable", `The registry answered HTTP ${answer.status}.`);
  }
  const headers = new Headers({ "docker-distribution-api-version": "registry/2.0" });
  for (const name of ANSWER_HEADERS) {
    const value = answer.headers.get(name);
    if (value !== null) headers.set(name, value);
  }
  return new Response(answer.body, { status: answer.status, headers });
}

/** Another node's image answers as one that does not exist. */
async function refuseForeign(
  call: KnownCall,
  repository: string,
  kind: string,
  reference: string,
): Promise<void> {
  const images = await imagesOfNode(call.deps.db, await nodeOf(call));
  const name = `${REGISTRY_NAME}/${repository}@`;
  const own =
    kind === "manifests"
      ? images.has(name + reference)
      : [...images].some((image) => image.startsWith(name));
  if (!own) throw notHere();
}

function notHere(): Problem {
  return new Problem("not-found", "There is no such image for this node.");
}
