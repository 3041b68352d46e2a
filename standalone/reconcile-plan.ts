import { parseArgs } from "node:util";

/* What `npm run reconcile` is asked, and what it says. Pure. */

export const RECONCILE_HELP = `Shows the nodes that hold what this database never made, and takes them in.

  npm run reconcile              which nodes those are, and what would become of their pods
  npm run reconcile -- --adopt   do it: from then on the nodes do as this database says

A database that was restored from a backup is older than what its nodes run. They go on with that, and are
neither told anything nor given pods until a person has looked. Before --adopt, take down the hosts that
joined after the backup (npm run agent -- down there): this database does not know them, and what must not
run twice may run there. docs/backup.md tells more.

The api is at $WAYBILL_URL, else where npm start puts it with the same variables; the token, which needs the
scope node:admin, is $WAYBILL_TOKEN, else in $WAYBILL_DATA_DIR/admin.token. The exit code is 0 where every
node does as this database says, 1 where one waits for --adopt, has pods that are not known, or was not heard of,
2 where something went wrong, for one node or for all.
`;

export type ReconcileWords = { readonly adopt: boolean; readonly help: boolean };

/** The words, or what is wrong with them. */
export function parseReconcileWords(argv: readonly string[]): ReconcileWords | string {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: { adopt: { type: "boolean" }, help: { type: "boolean", short: "h" } },
    });
    return { adopt: values.adopt === true, help: values.help === true };
  } catch (error) {
    if (error instanceof TypeError) return error.message;
    throw error;
  }
}

/** What the api says of one node among all. */
export type ShownNode = {
  readonly name: string;
  readonly status: string;
  /** Why a person should look at it; null where all is in order. */
  readonly reason: string | null;
};

/** Whether nobody knows now what the node holds: it may be ahead. */
export function isUnheard({ status }: ShownNode): boolean {
  return ["unreachable", "never-seen", "incompatible"].includes(status);
}

/** What the api answers of one adoption. */
export type Adoption = {
  readonly node: string;
  readonly adopts: boolean;
  readonly reason: string | null;
  readonly generation: number | null;
  readonly pods: readonly {
    readonly pod: string;
    readonly app: string | null;
    readonly becomes: string;
    readonly why: string;
  }[];
};

export function adoptionWords({ node, reason, generation, pods }: Adoption): string {
  const done =
    generation === null ? "" : `${node} does as it is told from generation ${generation} on.\n`;
  const lines = pods.map(({ pod, app, becomes, why }) => {
    const whose = app === null ? "" : ` of ${app}`;
    return `  ${pod}${whose} ${becomes}: ${why}\n`;
  });
  return `${reason}\n${lines.join("")}${done}`;
}

/**
 * Whether the node has pods that this database does not know and that no adoption is waited for to end. Those
 * of a host that is off, as a person says, have ended.
 */
export function hasStrangers(
  { status }: ShownNode,
  { adopts, reason, generation, pods }: Adoption,
): boolean {
  if (status === "fenced") return false;
  const isAdopted = generation !== null;
  return adopts ? isAdopted && pods.some((it) => it.becomes === "ends") : reason !== null;
}

/** What came of asking each node that a person should look at. */
export type Outcome = {
  /** How many were adopted, or would be. */
  readonly adoptions: number;
  /** See `hasStrangers`. */
  readonly strange: readonly string[];
  readonly unheard: readonly ShownNode[];
  /** What went wrong with one node, by itself. */
  readonly failures: readonly string[];
};

export function closingWords(
  { adoptions, strange, unheard, failures }: Outcome,
  adopt: boolean,
): string {
  const done = adopt ? "adopted." : "to adopt: npm run reconcile -- --adopt";
  const lines = [
    adoptions > 0 && `${counted(adoptions)} ${done}`,
    strange.length > 0 &&
      `Pods that this database does not know are on ${counted(strange.length)}: ${few(strange)}. Ask again when they are gone.`,
    unheard.length > 0 &&
      `Nothing is known of ${counted(unheard.length)}: ${few(unheard.map(({ name, status }) => `${name} (${status})`))}. Ask again when it was heard of; fence what is off.`,
  ].filter((it) => it !== false);
  if (lines.length === 0 && failures.length === 0)
    return "Every node does as this database says.\n";
  return lines.map((it) => `${it}\n`).join("");
}

/** What could not be done, after all else; empty where nothing went wrong. */
export function failureWords({ failures }: Outcome): string {
  if (failures.length === 0) return "";
  const lines = failures.map((it) => `  ${it}\n`);
  return `Something went wrong with ${counted(failures.length)}:\n${lines.join("")}`;
}

export function exitCode(
  { adoptions, strange, unheard, failures }: Outcome,
  adopt: boolean,
): 0 | 1 | 2 {
  if (failures.length > 0) return 2;
  return strange.length + unheard.length > 0 || (adoptions > 0 && !adopt) ? 1 : 0;
}

function counted(nodes: number): string {
  return nodes === 1 ? "1 node" : `${nodes} nodes`;
}

function few(nodes: readonly string[]): string {
  const more = nodes.length > 5 ? ` and ${nodes.length - 5} more` : "";
  return nodes.slice(0, 5).join(", ") + more;
}
