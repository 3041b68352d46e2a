import { z } from "zod";
import type { MaterialKind } from "../../contract/pod/material-use.ts";
import { Problem } from "../../contract/problem.ts";
import type { Tx } from "../../db/client.ts";
import {
  listConfigMaps,
  newestConfigMap,
  removeConfigMap,
} from "../../db/materials/config-maps.ts";
import {
  holdMaterial,
  lockMaterial,
  type MaterialUser,
  materialUsers,
} from "../../db/materials/materials.ts";
import { listSecrets, newestSecret, removeSecret } from "../../db/materials/secrets.ts";
import { type Changed, change } from "../apps/change.ts";
import { NoQuery } from "../http/query.ts";
import { type KnownCall, PEOPLE, pathPart, type Route, route } from "../http/route.ts";

/*
 * Config maps and secrets by name. They are written by POST /v1/apply; what is in a secret is never
 * shown again.
 */

const ConfigMapAnswer = z.strictObject({
  name: z.string(),
  /** The newest one: what the next release of an app gets. */
  version: z.int(),
  keys: z.array(z.string()),
  createdAt: z.string(),
  /** The apps that hold on to it, and the newest version that each has. */
  apps: z.array(z.strictObject({ app: z.string(), version: z.int() })),
});
/** `mark` is another when the content is another, and says nothing else of it. */
const SecretAnswer = ConfigMapAnswer.extend({ mark: z.string() });
const Removed = z.strictObject({ name: z.string(), deleted: z.literal(true) });

const BASE = { auth: PEOPLE, project: "own", bodyLimit: 0, query: NoQuery } as const;
const READ = { ...BASE, method: "GET", scope: "app:read", audit: null } as const;

export const materialRoutes: readonly Route[] = [
  route({
    ...READ,
    path: "/v1/config-maps",
    summary: "The project's config maps: their names, versions and keys, and who uses them",
    answers: { 200: z.strictObject({ configMaps: z.array(ConfigMapAnswer) }) },
    handle: async (call) => {
      const rows = await listConfigMaps(call.deps.db, call.caller.projectId);
      return call.c.json({ configMaps: await withUsers(call, "ConfigMap", rows) });
    },
  }),
  route({
    ...READ,
    path: "/v1/secrets",
    summary: "The project's secrets: their names, versions and keys, and who uses them; no values",
    answers: { 200: z.strictObject({ secrets: z.array(SecretAnswer) }) },
    handle: async (call) => {
      const rows = await listSecrets(call.deps.db, call.caller.projectId);
      return call.c.json({ secrets: await withUsers(call, "Secret", rows) });
    },
  }),
  route({
    ...BASE,
    method: "DELETE",
    path: "/v1/config-maps/:name",
    scope: "app:admin",
    audit: "config-map.remove",
    summary: "Remove a config map that no app names, with all of its versions",
    answers: { 200: Removed },
    handle: (call) => removeMaterial(call, "ConfigMap"),
  }),
  route({
    ...BASE,
    method: "DELETE",
    path: "/v1/secrets/:name",
    scope: "secret:write",
    audit: "secret.remove",
    summary: "Remove a secret that no app names, with all of its versions",
    answers: { 200: Removed },
    handle: (call) => removeMaterial(call, "Secret"),
  }),
];

const OF_KIND = {
  ConfigMap: { object: "config-map", newest: newestConfigMap, remove: removeConfigMap },
  Secret: { object: "secret", newest: newestSecret, remove: removeSecret },
} as const;

async function removeMaterial(call: KnownCall, kind: MaterialKind): Promise<Response> {
  const { value } = await change(call, "", (tx) => removeUnused(tx, call, kind));
  return call.c.json(value);
}

async function removeUnused(
  tx: Tx,
  call: KnownCall,
  kind: MaterialKind,
): Promise<Changed<z.infer<typeof Removed>>> {
  const name = pathPart(call, "name");
  const { projectId } = call.caller;
  const { object, newest, remove } = OF_KIND[kind];
  await lockMaterial(tx, projectId, kind, name);
  await holdMaterial(tx, projectId, kind, name);
  const before = await newest(tx, projectId, name);
  if (!before) throw new Problem("not-found", `There is no ${kind} named "${name.slice(0, 60)}".`);
  const users = (await materialUsers(tx, projectId)).get(`${kind}/${name}`) ?? [];
  refuseUsed(kind, name, users);
  await remove(tx, projectId, name);
  const audit = { object: `${object}:${name}`, before: `v${before.version}`, after: null };
  return { status: 200, value: { name, deleted: true }, audits: [audit] };
}

function refuseUsed(kind: MaterialKind, name: string, users: readonly MaterialUser[]): void {
  if (users.length === 0) return;
  const apps = users.map(({ app }) => app);
  const detail = `The ${kind} "${name}" is used by ${apps.join(", ")}.`;
  throw new Problem("still-used", detail, { extras: { apps } });
}

async function withUsers<Row extends { readonly name: string; readonly createdAt: Date }>(
  call: KnownCall,
  kind: MaterialKind,
  rows: readonly Row[],
) {
  const users = await materialUsers(call.deps.db, call.caller.projectId);
  return rows.map((row) => ({
    ...row,
    createdAt: row.createdAt.toISOString(),
    apps: users.get(`${kind}/${row.name}`) ?? [],
  }));
}
