import { z } from "zod";
import { Problem } from "../../contract/problem.ts";
import type { Tx } from "../../db/client.ts";
import { renewWish } from "../../db/nodes/desired.ts";
import {
  askForPurge,
  forgetVolume,
  holdVolume,
  removeVolume,
  restoreVolume,
} from "../../db/volumes/end.ts";
import { listVolumes, type VolumeRow, volumeUsers } from "../../db/volumes/volumes.ts";
import { type Changed, change } from "../apps/change.ts";
import { NO_FIELDS } from "../http/body.ts";
import { Flag, NoQuery } from "../http/query.ts";
import { type KnownCall, PEOPLE, pathPart, type Route, route } from "../http/route.ts";

const VolumeAnswer = z.strictObject({
  name: z.string(),
  /** Without a node until its first pod is placed. */
  state: z.enum(["unbound", "bound", "removed", "purging"]),
  node: z.string().nullable(),
  /** The apps that name it, or whose pods still have it. */
  apps: z.array(z.string()),
  createdAt: z.string(),
  removedAt: z.string().nullable(),
});
type VolumeAnswer = z.infer<typeof VolumeAnswer>;
/** What there was no node to wait for is gone at once. */
const PurgedAnswer = z.strictObject({ name: z.string(), purged: z.literal(true) });

const BASE = { auth: PEOPLE, project: "own", bodyLimit: 0 } as const;
const READ = { ...BASE, method: "GET", scope: "app:read", audit: null } as const;

export const volumeRoutes: readonly Route[] = [
  route({
    ...READ,
    path: "/v1/volumes",
    summary: "The project's named volumes, where they are and who uses them",
    query: NoQuery,
    answers: { 200: z.strictObject({ volumes: z.array(VolumeAnswer) }) },
    handle: async (call) => {
      const { projectId } = call.caller;
      const rows = await listVolumes(call.deps.db, projectId);
      const users = await volumeUsers(call.deps.db, projectId);
      const seen = rows.map((row) => ({ row, apps: users.get(row.name) ?? [] }));
      return call.c.json({ volumes: seen.map(answerOf) });
    },
  }),
  route({
    ...READ,
    path: "/v1/volumes/:volume",
    summary: "One named volume",
    query: NoQuery,
    answers: { 200: VolumeAnswer },
    handle: async (call) => call.c.json(answerOf(await volumeInPath(call.deps.db, call))),
  }),
  route({
    ...BASE,
    method: "DELETE",
    path: "/v1/volumes/:volume",
    scope: "app:admin",
    audit: "volume.remove",
    summary: "Remove a volume that no app names: its bytes stay until purge=true, the second step",
    query: z.strictObject({ purge: Flag }),
    answers: { 200: z.union([VolumeAnswer, PurgedAnswer]) },
    handle: async (call) => {
      const { value } = await change(call, "", (tx) =>
        call.query.purge ? purge(tx, call) : remove(tx, call),
      );
      return call.c.json(value);
    },
  }),
  route({
    ...BASE,
    method: "POST",
    path: "/v1/volumes/:volume/restore",
    ...NO_FIELDS,
    scope: "app:admin",
    audit: "volume.restore",
    summary: "Take the removal of a volume back, before it is purged",
    query: NoQuery,
    answers: { 200: VolumeAnswer },
    handle: async (call) => {
      const outcome = await change(call, "", (tx) => restore(tx, call));
      if (outcome.replayed) call.c.header("idempotency-replayed", "true");
      return call.c.json(outcome.value);
    },
  }),
];

type Seen = { readonly row: VolumeRow; readonly apps: readonly string[] };
type Purged = VolumeAnswer | z.infer<typeof PurgedAnswer>;

async function remove(tx: Tx, call: KnownCall): Promise<Changed<VolumeAnswer>> {
  const before = await held(tx, call);
  if (before.row.removedAt !== null) return unchanged(before);
  refuseUsed(before);
  await removeVolume(tx, call.caller.projectId, before.row.name);
  return changed(before, await volumeInPath(tx, call));
}

/** Only after the first step: a slip of the hand costs nothing. */
async function purge(tx: Tx, call: KnownCall): Promise<Changed<Purged>> {
  const before = await held(tx, call);
  const { name, node, state, removedAt } = before.row;
  if (removedAt === null) {
    const detail = `Remove the volume "${name}" first: the same request without purge=true.`;
    throw new Problem("volume-not-removed", detail);
  }
  if (state === "purging") return unchanged(before);
  refuseUsed(before);
  const action = "volume.purge";
  if (node === null) {
    await forgetVolume(tx, call.caller.projectId, name);
    const audits = [{ action, object: `volume:${name}`, before: state, after: null }];
    return { status: 200, value: { name, purged: true }, audits };
  }
  await askForPurge(tx, call.caller.projectId, name);
  await renewWish(tx, node.id);
  return changed(before, await volumeInPath(tx, call), { action });
}

async function restore(tx: Tx, call: KnownCall): Promise<Changed<VolumeAnswer>> {
  const before = await held(tx, call);
  const { name, state, removedAt } = before.row;
  if (state === "purging") {
    const detail = `The bytes of the volume "${name}" are being deleted; there is no way back.`;
    throw new Problem("volume-purging", detail);
  }
  if (removedAt === null) return unchanged(before);
  await restoreVolume(tx, call.caller.projectId, name);
  return changed(before, await volumeInPath(tx, call));
}

/** The volume that the path names, which no app comes to name until the transaction ends. */
async function held(tx: Tx, call: KnownCall): Promise<Seen> {
  await holdVolume(tx, call.caller.projectId, pathPart(call, "volume"));
  return await volumeInPath(tx, call);
}

async function volumeInPath(tx: Tx, call: KnownCall): Promise<Seen> {
  const name = pathPart(call, "volume");
  const { projectId } = call.caller;
  const [row] = await listVolumes(tx, projectId, name);
  if (!row) throw new Problem("not-found", `There is no volume named "${name.slice(0, 63)}".`);
  return { row, apps: (await volumeUsers(tx, projectId)).get(name) ?? [] };
}

function refuseUsed({ row, apps }: Seen): void {
  if (apps.length === 0) return;
  const detail = `The volume "${row.name}" is used by ${apps.join(", ")}; remove them, or the volume from them, first.`;
  throw new Problem("still-used", detail, { extras: { apps } });
}

function unchanged(seen: Seen): Changed<VolumeAnswer> {
  return { status: 200, value: answerOf(seen), audits: [] };
}

function changed(before: Seen, after: Seen, more: { action?: string } = {}): Changed<VolumeAnswer> {
  const states = { before: before.row.state, after: after.row.state };
  const audits = [{ object: `volume:${before.row.name}`, ...states, ...more }];
  return { status: 200, value: answerOf(after), audits };
}

function answerOf({ row, apps }: Seen): VolumeAnswer {
  return {
    name: row.name,
    state: row.state,
    node: row.node?.name ?? null,
    apps: [...apps],
    createdAt: row.createdAt.toISOString(),
    removedAt: row.removedAt?.toISOString() ?? null,
  };
}
