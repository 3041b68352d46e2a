import { type Client, readClient } from "./client.ts";
import {
  type Adoption,
  adoptionWords,
  closingWords,
  isUnheard,
  parseReconcileWords,
  RECONCILE_HELP,
  type ShownNode,
} from "./reconcile-plan.ts";

/* `npm run reconcile`: nodes that hold what the database never made. */

type Page = {
  readonly nodes: readonly ShownNode[];
  readonly next: string | null;
};

async function reconcile(client: Client, adopt: boolean): Promise<number> {
  let adoptions = 0;
  const nodes = await allNodes(client);
  for (const { name } of nodes.filter((it) => it.reason !== null)) {
    const query = adopt ? "" : "?dryRun=true";
    const path = `/v1/nodes/${encodeURIComponent(name)}/adopt${query}`;
    const adoption = await ask<Adoption & { adopts: boolean }>(client, "POST", path);
    if (!adoption.adopts) continue;
    adoptions += 1;
    process.stdout.write(adoptionWords(adoption));
  }
  const unheard = nodes.filter(isUnheard);
  process.stdout.write(closingWords(adoptions, unheard, adopt));
  return unheard.length > 0 || (adoptions > 0 && !adopt) ? 1 : 0;
}

async function allNodes(client: Client): Promise<readonly ShownNode[]> {
  const all: ShownNode[] = [];
  for (let cursor = ""; ; ) {
    const { nodes, next } = await ask<Page>(client, "GET", `/v1/nodes${cursor}`);
    all.push(...nodes);
    if (next === null) return all;
    cursor = `?cursor=${encodeURIComponent(next)}`;
  }
}

async function ask<T>({ url, token }: Client, method: string, path: string): Promise<T> {
  const headers = { authorization: `Bearer ${token}` };
  const answer = await fetch(url.replace(/\/$/, "") + path, { method, headers }).catch((cause) => {
    throw new Error(`${url} cannot be reached: ${cause.cause?.message ?? cause.message}`);
  });
  const body = (await answer.json().catch(() => ({}))) as T & { readonly detail?: string };
  if (!answer.ok) throw new Error(body.detail ?? `${url} answered ${answer.status}`);
  return body;
}

const words = parseReconcileWords(process.argv.slice(2));
const client = readClient();
if (typeof words === "string") {
  process.stderr.write(`${words}\n\n${RECONCILE_HELP}`);
  process.exitCode = 2;
} else if (words.help) {
  process.stdout.write(RECONCILE_HELP);
} else if (typeof client === "string") {
  process.stderr.write(`${client}\n`);
  process.exitCode = 2;
} else {
  try {
    process.exitCode = await reconcile(client, words.adopt);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 2;
  }
}
