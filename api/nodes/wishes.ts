import { Problem } from "../../contract/problem.ts";
import type { Tx } from "../../db/client.ts";
import { type NodeView, podsOnNode, viewNode } from "../../db/nodes/nodes.ts";
import { shutOut } from "../../db/nodes/sessions.ts";
import {
  fenceNode,
  forgetNode,
  holdNode,
  holdNodeAlone,
  storeNodeWish,
} from "../../db/nodes/wishes.ts";
import { announce } from "../../db/outbox.ts";
import { abandonVolumes, volumesHeldBy } from "../../db/volumes/end.ts";
import type { Changed } from "../apps/change.ts";
import { few } from "./ahead.ts";
import { isOver, isSilent, type NodeAnswer, nodeAnswer, statusOf, unknownLeft } from "./answers.ts";

/* What people wish of a node, each in the transaction of the request. */

type Wish = { readonly cordoned: boolean; readonly draining?: boolean };

/** The same wish again changes nothing, and is not on record twice. A fence ends where pods may come again. */
export async function wishNode(tx: Tx, name: string, wish: Wish): Promise<Changed<NodeAnswer>> {
  const before = await held(tx, name);
  const { cordoned, draining = before.draining } = wish;
  const fencedAt = cordoned ? before.fencedAt : null;
  const isAsBefore =
    cordoned === before.cordoned && draining === before.draining && fencedAt === before.fencedAt;
  if (isAsBefore) return { status: 200, value: nodeAnswer(before, Date.now()), audits: [] };
  await storeNodeWish(tx, before.id, { cordoned, draining, fencedAt });
  return await changed(tx, before);
}

/** Its own word that it lives is worth more than a person's that it does not, unless that is meant. */
export async function fence(
  tx: Tx,
  name: string,
  { force, abandon }: { readonly force: boolean; readonly abandon: boolean },
): Promise<Changed<NodeAnswer>> {
  const before = await held(tx, name);
  if (before.fencedAt === null && !isSilent(before, Date.now()) && !force) {
    throw new Problem(
      "node-reachable",
      `${name} was heard of ${secondsSince(before.seenAt)} s ago. Its pods would run twice while it does; drain it, or say {"force": true} if it is off.`,
    );
  }
  const isNew = before.fencedAt === null;
  const volumes = abandon ? await abandonVolumes(tx, before.id) : [];
  if (!isNew && volumes.length === 0)
    return { status: 200, value: nodeAnswer(before, Date.now()), audits: [] };
  if (isNew) {
    await shutOut(tx, before.id, name);
    await fenceNode(tx, before.id);
  }
  const told = await changed(tx, before);
  const lost = volumes.map((it) => ({
    action: "volume.abandon",
    object: `volume:${it.name}`,
    before: name,
    after: null,
  }));
  return { ...told, audits: [...told.audits, ...lost] };
}

/**
 * Only a node that nothing is wanted of, and whose pods are known to have ended or are given up, is
 * forgotten: what may run there yet could run twice.
 */
export async function remove(
  tx: Tx,
  name: string,
): Promise<Changed<{ node: string; deleted: true }>> {
  const node = await holdNodeAlone(tx, name);
  if (node === undefined) throw noNode(name);
  if (node.fencedAt === null && (node.ahead !== null || unknownLeft(node).length > 0)) {
    const first = node.ahead === null ? "ask again when they have ended" : "adopt it";
    throw inUse(
      name,
      `may run pods that this database does not know: ${first}, or fence it if it is off`,
    );
  }
  const there = (await podsOnNode(tx, node.id)).filter((it) => !isOver(it));
  const wanted = there.filter((it) => it.wanted === "run").map((it) => it.name);
  if (wanted.length > 0)
    throw inUse(name, `should still run ${few(wanted)}; drain it first, or fence it if it is off`);
  if (there.length > 0 && node.fencedAt === null) {
    const ending = few(there.map((it) => it.name));
    throw inUse(
      name,
      isSilent(node, Date.now())
        ? `is silent, and may still run ${ending}; fence it first if it is off`
        : `is still ending ${ending}; ask again in a moment`,
    );
  }
  const volumes = await volumesHeldBy(tx, node.id);
  if (volumes.length > 0) {
    throw inUse(
      name,
      `holds the bytes of ${few(volumes)}; remove and purge them, or give them up: fence it with {"abandonVolumes": true}`,
    );
  }
  await shutOut(tx, node.id, name);
  await forgetNode(tx, node.id);
  const audits = [{ object: `node:${name}`, before: statusOf(node, Date.now()), after: null }];
  return { status: 200, value: { node: name, deleted: true }, audits };
}

export function noNode(name: string): Problem {
  return new Problem("not-found", `There is no node named "${name}".`);
}

async function held(tx: Tx, name: string): Promise<NodeView> {
  const node = await holdNode(tx, name);
  if (node === undefined) throw noNode(name);
  return node;
}

async function changed(tx: Tx, before: NodeView): Promise<Changed<NodeAnswer>> {
  const after = await viewNode(tx, before.name);
  if (after === undefined) throw new Error(`node "${before.name}" is gone while it is held`);
  await announce(tx, `node:${after.id}`);
  const nowMs = Date.now();
  const words = { before: statusOf(before, nowMs), after: statusOf(after, nowMs) };
  const audits = [{ object: `node:${before.name}`, ...words }];
  return { status: 200, value: nodeAnswer(after, nowMs), audits };
}

function inUse(name: string, why: string): Problem {
  return new Problem("node-in-use", `${name} ${why}.`);
}

function secondsSince(at: Date | null): number {
  return Math.max(0, Math.round((Date.now() - (at?.getTime() ?? 0)) / 1_000));
}
