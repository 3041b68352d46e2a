import type { Held } from "../../contract/node/protocol.ts";
import { Problem } from "../../contract/problem.ts";
import type { Ahead, Plan } from "../../db/nodes/history.ts";
import type { NodeView } from "../../db/nodes/nodes.ts";
import { auditDeniedOnce } from "../apps/change.ts";
import type { KnownCall } from "../http/route.ts";
import { nodeName } from "./speaker.ts";

/* What is said of a node that holds what this database never made: see db/nodes/history.ts. */

/** No 4xx that an agent takes for its own end: it goes on with what it has, and asks again. */
export function aheadProblem(node: string, held: Held, plan: Plan): Problem {
  return new Problem("node-ahead", aheadWords(node, held, plan.generation));
}

/** Puts on record, once in ten minutes, that the database is older than what a node holds. */
export async function alarmAhead(call: KnownCall, { held, here }: Ahead): Promise<void> {
  const name = nodeName(call.caller);
  call.deps.log.warn("a node holds a wish that this database never made", {
    ...{ node: name, held: held.generation, here },
  });
  await auditDeniedOnce(call, { action: "node.ahead", object: `node:${name}` });
}

/** Why people should look at this node; null where nothing is out of the ordinary. */
export function reasonOf(
  node: Pick<NodeView, "name" | "ahead" | "generation" | "strangers">,
): string | null {
  if (node.ahead !== null) return aheadWords(node.name, node.ahead, node.generation);
  if (node.strangers.length === 0) return null;
  const names = node.strangers.map(nameOfStranger);
  return `${node.name} has pods that this database does not know: ${few(names)}. ${endOfStrangers(node)}`;
}

/** An agent may not have told more than the id. */
export function nameOfStranger({ name, pod }: NodeView["strangers"][number]): string {
  return name ?? pod;
}

/** A wish ends what it does not name; before anybody has planned for the node there is none. */
function endOfStrangers({ name, generation }: Pick<NodeView, "name" | "generation">): string {
  return generation > 0
    ? `Its wish ends them, 5 minutes after an adoption at the latest, and no pod that may only run once is started anywhere before. Where they stay, see what that host does; if it is off, fence it: POST /v1/nodes/${name}/fence.`
    : "They run on until the first pod is placed there, or until you take them down: npm run agent -- down on that host. Pods that may only run once do not wait for that.";
}

function aheadWords(name: string, { generation }: Held, here: number): string {
  return `${name} holds generation ${generation} of its wish as this database, which is at ${here}, never made it: it was restored from a backup, say. What runs there goes on as it is, and nothing is placed there or told to it, until a person decides: npm run reconcile.`;
}

/** The first few by name. */
export function few(names: readonly string[]): string {
  const more = names.length > 5 ? ` and ${names.length - 5} more` : "";
  return names.slice(0, 5).join(", ") + more;
}
