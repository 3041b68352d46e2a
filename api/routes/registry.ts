import { z } from "zod";
import { isMadeByWaybill, isReadableBy } from "../../contract/image-reference.ts";
import { REGISTRY_NAME } from "../../contract/node/protocol.ts";
import { Problem } from "../../contract/problem.ts";
import { imagesOfNode } from "../../db/nodes/images.ts";
import { auditDenied, auditDeniedOnce } from "../apps/change.ts";
import { type KnownCall, PEOPLE, type Route, route } from "../http/route.ts";
import { nodeName, nodeOfToken } from "../nodes/speaker.ts";
import { passBack, passOn } from "../registry/pass.ts";
import { type RegistryPath, readRegistryPath } from "../registry/path.ts";
import {
  askBlobUpload,
  continueBlobUpload,
  openBlobUpload,
  putManifest,
} from "../registry/push.ts";

/*
 * The registry, through the api's authorization. A node may read the base images, and the images of
 * the pods that it should run now; people what their project may, and they push to every repository
 * that Waybill does not fill itself. Those are the installation's, as base images are: a name such as
 * `nginx` means the same image in every project.
 */

const EVERY = {
  project: "installation",
  // Clients that go by a mirror's address say in `ns` which registry they mean; uploads carry the registry's state.
  query: z.looseObject({}),
} as const;

const READ = {
  ...EVERY,
  method: "GET",
  auth: ["node", ...PEOPLE],
  // A push asks what is there already, too.
  scope: ["app:read", "app:deploy"],
  audit: null,
  bodyLimit: 0,
} as const;

const PUSH = {
  ...EVERY,
  path: "/v2/*",
  auth: PEOPLE,
  scope: "app:deploy",
  audit: "image.push",
} as const;

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
    summary: "Manifests, blobs and tags; for a node those of the images that its pods are made of",
    answers: { 200: "the bytes" },
    handle: pull,
  }),
  route({
    ...PUSH,
    method: "POST",
    bodyLimit: 0,
    summary: "Begin the upload of a blob, or mount one of another repository",
    answers: { 201: "mounted", 202: "begun" },
    handle: async (call) => {
      const path = await pushable(call);
      if (path.kind !== "uploads") throw notTaken(call);
      return await openBlobUpload(call, path);
    },
  }),
  route({
    ...PUSH,
    method: "PATCH",
    bodyLimit: "artifact",
    body: "bytes",
    summary: "Go on with the upload of a blob",
    answers: { 202: "taken" },
    handle: async (call) => {
      const path = await pushable(call);
      if (path.kind !== "upload") throw notTaken(call);
      return await continueBlobUpload(call, path);
    },
  }),
  route({
    ...PUSH,
    method: "PUT",
    bodyLimit: "artifact",
    body: "bytes",
    summary: "End the upload of a blob, or store a manifest",
    answers: { 201: "stored" },
    handle: async (call) => {
      const path = await pushable(call);
      if (path.kind === "upload") return await continueBlobUpload(call, path);
      if (path.kind === "manifest") return await putManifest(call, path);
      throw notTaken(call);
    },
  }),
  route({
    ...PUSH,
    method: "DELETE",
    bodyLimit: 0,
    summary: "Give the upload of a blob up",
    answers: { 204: "given up" },
    handle: async (call) => {
      const path = await pushable(call);
      if (path.kind !== "upload") throw notTaken(call);
      return await askBlobUpload(call, path);
    },
  }),
];

async function pull(call: KnownCall): Promise<Response> {
  const path = readRegistryPath(call.c.req.path);
  if (path === undefined || path.kind === "uploads") throw notHere();
  if (call.caller.nodeName !== null) await refuseForeign(call, path);
  else if (!isReadableBy(call.caller.projectName, path.repository)) throw notHere();
  if (path.kind === "upload") return await askBlobUpload(call, path);
  const asked = path.kind === "tags" ? call.c.req.path + pageOf(call) : call.c.req.path;
  const method = call.c.req.method === "HEAD" ? "HEAD" : "GET";
  const answer = await passOn(call, asked, { method, signal: call.c.req.raw.signal });
  if (answer.status === 404) throw notHere();
  return await passBack(answer);
}

/** Which page of a long list of tags. */
function pageOf(call: KnownCall): string {
  const { searchParams } = new URL(call.c.req.url);
  const page = ["n", "last"].flatMap((name): [string, string][] => {
    const value = searchParams.get(name);
    return value === null ? [] : [[name, value]];
  });
  return page.length === 0 ? "" : `?${new URLSearchParams(page)}`;
}

/** Another node's image answers as one that does not exist; and that it was asked for is on record. */
async function refuseForeign(call: KnownCall, path: RegistryPath): Promise<void> {
  if (path.kind !== "manifest" && path.kind !== "blob") throw notHere();
  if (path.repository.startsWith("base/")) return;
  const images = await imagesOfNode(call.deps.db, nodeOfToken(call));
  const name = `${REGISTRY_NAME}/${path.repository}@`;
  const own =
    path.kind === "manifest"
      ? images.has(name + path.reference)
      : [...images].some((image) => image.startsWith(name));
  if (own) return;
  const object = `node:${nodeName(call.caller)}`;
  await auditDeniedOnce(call, { action: "node.foreign-image", object });
  throw notHere();
}

/** What a push names; refused, and on record, where Waybill itself fills the repository. */
async function pushable(call: KnownCall): Promise<RegistryPath> {
  const path = readRegistryPath(call.c.req.path);
  if (path === undefined) throw notHere();
  if (!isMadeByWaybill(path.repository)) return path;
  await auditDenied(call);
  const folder = path.repository.split("/", 1)[0];
  throw new Problem("forbidden", `Waybill itself fills the repositories below "${folder}/".`);
}

/** What is stored is what releases run by digest: nothing of it is changed or removed here. */
function notTaken(call: KnownCall): Problem {
  return new Problem("method-not-allowed", `${call.c.req.method} is not taken here.`);
}

function notHere(): Problem {
  return new Problem("not-found", "There is no such image here.");
}
