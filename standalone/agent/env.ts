import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { z } from "zod";
import { NodeVariables, outboundOf, setOnes, urlWith } from "../env.ts";

/** What `npm run agent` was asked for. */
export type Asked = {
  readonly command: "run" | "down" | "help";
  readonly options: HostOptions;
};

/** What was said now; where nothing was, what an earlier start kept stands, or the default. */
export type HostOptions = {
  readonly dataDir: string;
  readonly api: string | undefined;
  readonly joinToken: string | undefined;
  readonly address: string | undefined;
  readonly httpPort: number | undefined;
  readonly nodeMemory: string | undefined;
  readonly nodeCpu: string | undefined;
  readonly hostPaths: string | undefined;
  readonly hostPorts: string | undefined;
  /** How packages are reached, and certificates of the api. */
  readonly outbound: Readonly<Record<string, string>>;
};

/** Each flag, and the variable that says the same. */
const FLAGS: Readonly<Record<string, string>> = {
  api: "WAYBILL_API_URL",
  join: "WAYBILL_JOIN_TOKEN",
  address: "WAYBILL_NODE_ADDRESS",
  "http-port": "WAYBILL_HTTP_PORT",
  "data-dir": "WAYBILL_DATA_DIR",
};

const Variables = z.object({
  ...NodeVariables,
  WAYBILL_API_URL: urlWith("http:", "https:").transform((url) => url?.replace(/\/+$/, "")),
  WAYBILL_JOIN_TOKEN: z
    .string()
    .regex(/^\S{1,500}$/, "must be a token without spaces")
    .optional(),
});

/** Reads flags and variables; a flag goes first. A list is all that is wrong with them, a sentence each. */
export function readAsked(
  args: readonly string[],
  source?: Readonly<Record<string, string | undefined>>,
): Asked | readonly string[] {
  const { words, values, wrong } = readFlags(args);
  const set = { ...setOnes(source), ...values };
  const read = Variables.safeParse(set);
  const complaints = (read.error?.issues ?? []).map(({ path, message }) => {
    const name = String(path[0]);
    const flag = Object.keys(FLAGS).find((it) => FLAGS[it] === name);
    return `${flag && name in values ? `--${flag}` : name} ${message}.`;
  });
  const all = [...wrong, ...wrongWords(words), ...complaints];
  if (!read.data || all.length > 0) return all;
  const { data } = read;
  return {
    command: words.includes("help") ? "help" : words[0] === "down" ? "down" : "run",
    options: {
      dataDir: resolve(data.WAYBILL_DATA_DIR),
      api: data.WAYBILL_API_URL,
      joinToken: data.WAYBILL_JOIN_TOKEN,
      address: data.WAYBILL_NODE_ADDRESS,
      httpPort: data.WAYBILL_HTTP_PORT,
      nodeMemory: data.WAYBILL_NODE_MEMORY,
      nodeCpu: data.WAYBILL_NODE_CPU,
      hostPaths: data.WAYBILL_HOST_PATHS,
      hostPorts: data.WAYBILL_HOST_PORTS,
      outbound: outboundOf(set),
    },
  };
}

type Flags = {
  readonly words: readonly string[];
  readonly values: Readonly<Record<string, string>>;
  readonly wrong: readonly string[];
};

function readFlags(args: readonly string[]): Flags {
  const options = Object.fromEntries(
    Object.keys(FLAGS).map((name) => [name, { type: "string" as const }]),
  );
  const { tokens } = parseArgs({
    args: [...args],
    options: { ...options, help: { type: "boolean", short: "h" } },
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const words: string[] = [];
  const values: Record<string, string> = {};
  const wrong: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") words.push(token.value);
    if (token.kind !== "option") continue;
    const variable = FLAGS[token.name];
    if (token.name === "help") words.push("help");
    else if (variable === undefined) wrong.push(`There is no option ${token.rawName}.`);
    else if (!token.value || token.value.startsWith("-"))
      wrong.push(`--${token.name} needs a value.`);
    else values[variable] = token.value;
  }
  return { words, values, wrong };
}

function wrongWords(words: readonly string[]): readonly string[] {
  const known = new Set(["help", "down"]);
  return words.filter((word) => !known.has(word)).map((word) => `"${word}" is no command.`);
}
