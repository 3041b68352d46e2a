import { type Client, readClient } from "./client.ts";
import {
  type Adoption,
  adoptionWords,
  closingWords,
  exitCode,
  failureWords,
  hasStrangers,
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
  const nodes = await allNodes(client);
  const strange: string[] = [];
  const failures: string[] = [];
  let adoptions = 0;
  for (const node of nodes.filter((it) => it.reason !== null)) {
    try {
      const path = `/v1/nodes/${encodeURIComponent(node.name)}/adopt${adopt ? "" : "?dryRun=true"}`;
      const adoption = await ask<Adoption>(client, "POST", path);
      const isStrange = hasStrangers(node, adoption);
      if (adoption.adopts || isStrange) process.stdout.write(adoptionWords(adoption));
      if (adoption.adopts) adoptions += 1;
      if (isStrange) strange.push(node.name);
    } catch (error) {
      failures.push(`${node.name}: ${wordsOf(error)}`);
    }
  }
  const outcome = { adoptions, strange, unheard: nodes.filter(isUnheard), failures };
  process.stdout.write(closingWords(outcome, adopt));
  process.stderr.write(failureWords(outcome));
  return exitCode(outcome, adopt);
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

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
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
    process.stderr.write(`${wordsOf(error)}\n`);
    process.exitCode = 2;
  }
}
