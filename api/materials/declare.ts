import { z } from "zod";
import { fieldErrors } from "../../contract/document/mistakes.ts";
import {
  type ConfigMapContent,
  materialSchema,
  type SecretContent,
} from "../../contract/material/config-document.ts";
import { jsonBytes, sealedBytes } from "../../contract/node/wish-size.ts";
import { canonicalJson } from "../../contract/pod/pod.ts";
import type { Tx } from "../../db/client.ts";
import { insertConfigMap, newestConfigMap } from "../../db/materials/config-maps.ts";
import { type KnownMaterial, lockMaterial, nextVersion } from "../../db/materials/materials.ts";
import { insertSecret, newestSecret } from "../../db/materials/secrets.ts";
import { type Changed, hashOf } from "../apps/change.ts";
import { specInvalid } from "../apps/check.ts";
import { actorName } from "../http/auth.ts";
import type { KnownCall } from "../http/route.ts";

/** A config map or a secret that somebody wants stored; a secret's values in the clear, in memory only. */
export type MaterialWish = ConfigMapContent | SecretContent;

export const MaterialAnswer = z.strictObject({
  kind: z.enum(["ConfigMap", "Secret"]),
  name: z.string(),
  version: z.int(),
  unchanged: z.boolean(),
  dryRun: z.literal(true).optional(),
});
export type MaterialAnswer = z.infer<typeof MaterialAnswer>;

/** The wish that a document stands for; undefined for a document of another kind. */
export function checkMaterial(document: unknown): MaterialWish | undefined {
  const schema = materialSchema(document);
  const read = schema?.safeParse(document);
  if (schema === undefined || read === undefined || read.success) return read?.data;
  throw specInvalid(fieldErrors(read.error, schema));
}

/**
 * Stores each wish as a new version, or finds that the newest is the same. In the order of kinds and
 * names, so that two of these at once never wait for each other; the answers come in that order.
 */
export async function putMaterials(
  tx: Tx,
  call: KnownCall,
  wishes: readonly MaterialWish[],
): Promise<readonly Changed<MaterialAnswer>[]> {
  const done: Changed<MaterialAnswer>[] = [];
  for (const wish of [...wishes].sort(byKindAndName)) {
    await lockMaterial(tx, call.caller.projectId, wish.kind, wish.name);
    const before = await newest(tx, call, wish);
    const version = await versionOf(tx, call, wish, before);
    if (!before?.same) await insert(tx, call, wish, version);
    done.push(await changed(call, wish, version, before));
  }
  return done;
}

/** What `putMaterials` would answer, and what a spec of the same call would then find. */
export async function planMaterials(
  tx: Tx,
  call: KnownCall,
  wishes: readonly MaterialWish[],
): Promise<readonly (KnownMaterial & { readonly answer: MaterialAnswer })[]> {
  const planned = [];
  for (const wish of wishes) {
    const { kind, name } = wish;
    const before = await newest(tx, call, wish);
    const version = await versionOf(tx, call, wish, before);
    const unchanged = before?.same === true;
    const answer: MaterialAnswer = { kind, name, version, unchanged, dryRun: true };
    planned.push({ kind, name, version, keys: keysOf(wish), wireBytes: wireBytes(wish), answer });
  }
  return planned;
}

type Newest = { readonly version: number; readonly same: boolean; readonly hash: string };

/** The newest version of this name, and whether its content is the wish's. */
async function newest(tx: Tx, call: KnownCall, wish: MaterialWish): Promise<Newest | undefined> {
  const { projectId } = call.caller;
  if (wish.kind === "ConfigMap") {
    const row = await newestConfigMap(tx, projectId, wish.name);
    if (!row) return undefined;
    const text = canonicalJson({ data: row.data, binary: row.binary });
    return { version: row.version, same: text === textOf(wish), hash: hashOf(call, text) };
  }
  // Asked for in any case: without a key, the answer is the same for a new secret and a known one.
  const keyring = await call.deps.secrets.keyring();
  const row = await newestSecret(tx, projectId, wish.name);
  if (!row) return undefined;
  const text = new TextDecoder().decode(await keyring.open(row, row));
  return { version: row.version, same: text === textOf(wish), hash: `mark:${row.mark}` };
}

async function versionOf(
  tx: Tx,
  call: KnownCall,
  wish: MaterialWish,
  before: Newest | undefined,
): Promise<number> {
  if (before?.same) return before.version;
  return await nextVersion(tx, call.caller.projectId, wish, before?.version);
}

async function insert(tx: Tx, call: KnownCall, wish: MaterialWish, version: number): Promise<void> {
  const place = { projectId: call.caller.projectId, name: wish.name, version };
  const createdBy = actorName(call.caller);
  if (wish.kind === "ConfigMap") {
    await insertConfigMap(tx, { ...place, data: wish.data, binary: wish.binary, createdBy });
    return;
  }
  const keyring = await call.deps.secrets.keyring();
  const content = new TextEncoder().encode(textOf(wish));
  const sealed = await keyring.seal(place, content);
  const mark = await keyring.mark(place, content);
  await insertSecret(tx, { ...place, ...sealed, mark, keys: keysOf(wish), createdBy });
}

async function changed(
  call: KnownCall,
  wish: MaterialWish,
  version: number,
  before: Newest | undefined,
): Promise<Changed<MaterialAnswer>> {
  const { kind, name } = wish;
  const unchanged = before?.same === true;
  const value: MaterialAnswer = { kind, name, version, unchanged };
  if (unchanged) return { status: 200, value, audits: [] };
  const [object, action] =
    kind === "Secret"
      ? [`secret:${name}`, "secret.write"]
      : [`config-map:${name}`, "config-map.write"];
  const after = await hashOfWish(call, wish);
  const audit = { action, object, before: before?.hash ?? null, after };
  return { status: before ? 200 : 201, value, audits: [audit] };
}

/** Of a secret the keyed mark: who reads the audit could try what a plain hash stands for. */
async function hashOfWish(call: KnownCall, wish: MaterialWish): Promise<string> {
  if (wish.kind === "ConfigMap") return hashOf(call, textOf(wish));
  const keyring = await call.deps.secrets.keyring();
  const secret = { projectId: call.caller.projectId, name: wish.name };
  return `mark:${await keyring.mark(secret, new TextEncoder().encode(textOf(wish)))}`;
}

/** What is compared, and for a secret what is sealed: `{key: base64}`. */
function textOf(wish: MaterialWish): string {
  if (wish.kind === "Secret") return canonicalJson(wish.values);
  return canonicalJson({ data: wish.data, binary: wish.binary });
}

function wireBytes(wish: MaterialWish): number {
  const text = jsonBytes(wish.kind === "Secret" ? wish.values : [wish.data, wish.binary]);
  return wish.kind === "Secret" ? sealedBytes(text) : text;
}

function keysOf(wish: MaterialWish): readonly string[] {
  if (wish.kind === "Secret") return Object.keys(wish.values);
  return [...Object.keys(wish.data), ...Object.keys(wish.binary)].sort();
}

function byKindAndName(a: MaterialWish, b: MaterialWish): number {
  return `${a.kind}/${a.name}` < `${b.kind}/${b.name}` ? -1 : 1;
}
