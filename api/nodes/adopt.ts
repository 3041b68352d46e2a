import { z } from "zod";
import { Problem } from "../../contract/problem.ts";
import type { Tx } from "../../db/client.ts";
import { joinHistories, podsWantedOn, type WantedPod, withdraw } from "../../db/nodes/adopt.ts";
import type { NodeView } from "../../db/nodes/nodes.ts";
import { holdNodeAlone } from "../../db/nodes/wishes.ts";
import type { Changed } from "../apps/change.ts";
import { reasonOf } from "./ahead.ts";
import { noNode } from "./wishes.ts";

export const AdoptAnswer = z.strictObject({
  node: z.string(),
  /** Whether the node does as it is told from here on, or would; false where there is nothing to adopt. */
  adopts: z.boolean(),
  /** Why a person should look at it, also where there is nothing to adopt; null: it is in order. */
  reason: z.string().nullable(),
  /** The generation that its wish gets; null in a dry run. */
  generation: z.int().nullable(),
  pods: z.array(
    z.strictObject({
      /** Its name, or its id where that is all that is known. */
      pod: z.string(),
      /** Null: no app of this database. */
      app: z.string().nullable(),
      becomes: z.enum(["stays", "starts", "waits", "ends"]),
      why: z.string(),
    }),
  ),
});
export type AdoptAnswer = z.infer<typeof AdoptAnswer>;
type Becoming = AdoptAnswer["pods"][number];

/** Far below what an agent can tell (`HELD_HEADER`), since the wish counts on from there. */
const MOST_ADOPTED = 100_000_000_000_000;

/**
 * A person says that this database is right, though the node comes from another history: the node's wish
 * goes on above what it holds. Asked again, or of a node that is not ahead, it changes nothing.
 */
export async function adopt(
  tx: Tx,
  name: string,
  { dryRun }: { readonly dryRun: boolean },
): Promise<Changed<AdoptAnswer>> {
  const node = await holdNodeAlone(tx, name);
  if (node === undefined) throw noNode(name);
  const reason = reasonOf(node);
  const nothing = { node: name, adopts: false, reason, generation: null, pods: [] };
  if (node.ahead === null) return { status: 200, value: nothing, audits: [] };
  if (node.ahead.generation > MOST_ADOPTED) throw absurd(name, node.ahead.generation);
  const wanted = await podsWantedOn(tx, node.id);
  const plan = { node: name, adopts: true, reason, pods: outlook(node, wanted) };
  if (dryRun) return { status: 200, value: { ...plan, generation: null }, audits: [] };
  const generation = await joinHistories(tx, node.id, node.ahead);
  await withdraw(tx, wanted.filter(mustWait), generation);
  const [before, after] = [`ahead at ${node.ahead.generation}`, `generation ${generation}`];
  const audits = [{ object: `node:${name}`, before, after }];
  return { status: 200, value: { ...plan, generation }, audits };
}

/** No database counts that far, and its wishes would soon have no number left. */
function absurd(name: string, generation: number): Problem {
  return new Problem(
    "node-ahead",
    `${name} says that it holds generation ${generation} of its wish, which no database ever made: its ledger is broken. It cannot be adopted; have the host join anew without it.`,
  );
}

/** It does not run there; and what runs there or elsewhere, and is not known here, may be its like. */
function mustWait({ there, exclusive }: WantedPod): boolean {
  return exclusive && !there;
}

function outlook({ strangers }: NodeView, wanted: readonly WantedPod[]): Becoming[] {
  const known = wanted.map((pod): Becoming => {
    const [becomes, why] = pod.there
      ? (["stays", "it runs there, and goes on"] as const)
      : mustWait(pod)
        ? ([
            "waits",
            "it may only run once: it is placed anew when no unknown pod is left",
          ] as const)
        : (["starts", "this database wants it there, and the node does not have it"] as const);
    return { pod: pod.name, app: pod.appName, becomes, why };
  });
  const unknown = strangers.map(({ pod, name }): Becoming => {
    const why =
      "this database does not know it; it serves until what is wanted in its place is ready, or for 5 minutes";
    return { pod: name ?? pod, app: null, becomes: "ends", why };
  });
  return [...known, ...unknown];
}
