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
node does as it is told, 1 where one waits for --adopt or nothing is known of one, 2 where something went wrong.
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

export function closingWords(
  adoptions: number,
  unheard: readonly ShownNode[],
  adopt: boolean,
): string {
  const unknown =
    unheard.length === 0
      ? ""
      : `Nothing is known of ${counted(unheard.length)}: ${namedOf(unheard)}. Ask again when it was heard of; fence what is off.\n`;
  if (adoptions === 0) return unknown || "Every node does as this database says.\n";
  const done = adopt
    ? `${counted(adoptions)} adopted.\n`
    : `${counted(adoptions)} to adopt: npm run reconcile -- --adopt\n`;
  return done + unknown;
}

function counted(nodes: number): string {
  return nodes === 1 ? "1 node" : `${nodes} nodes`;
}

/** The first few with how they are shown. */
function namedOf(nodes: readonly ShownNode[]): string {
  const names = nodes.slice(0, 5).map(({ name, status }) => `${name} (${status})`);
  const more = nodes.length - names.length;
  return names.join(", ") + (more > 0 ? ` and ${more} more` : "");
}
