import { parseArgs } from "node:util";

/** What `npm run exec -- …` asks for. */
export type ExecWords = {
  readonly app: string;
  readonly container: string | undefined;
  readonly pod: string | undefined;
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly command: readonly string[];
};

export const EXEC_HELP = `Runs a command in a container of an app.

  npm run exec -- <app> [--pod <pod>] [--container <container>] [-it] -- <command> [argument...]

  -c, --container   which container; the pod's first where it is left out
  -p, --pod         which pod; a ready one of the live release where it is left out
  -i, --stdin       send what is typed or piped in
  -t, --tty         with a terminal, as a shell wants it

The api is at $WAYBILL_URL, else where npm start puts it with the same variables; the token is
$WAYBILL_TOKEN, else in $WAYBILL_DATA_DIR/admin.token. The exit code is the command's.

  npm run exec -- shop -it -- sh
  npm run exec -- shop -c db -- pg_dump shop > shop.sql
`;

/** Whether the words ask for help. What is behind the dashes is the command's, as in `df -h`. Pure. */
export function wantsHelp(argv: readonly string[]): boolean {
  const { options } = splitAtDashes(argv);
  return argv.length === 0 || options.includes("--help") || options.includes("-h");
}

/** The words, or what is wrong with them. Pure. */
export function parseExecWords(argv: readonly string[]): ExecWords | string {
  const { options, command } = splitAtDashes(argv);
  const read = readOptions(options);
  if (typeof read === "string") return read;
  const { values, positionals } = read;
  const [app, surplus] = positionals;
  if (app === undefined) return "which app?";
  if (surplus !== undefined) return `"${surplus}" is too much; the command comes behind "--"`;
  if (command.length === 0) return 'which command? It comes behind "--"';
  const { container, pod, tty = false, stdin = false } = values;
  return { app, container, pod, tty, stdin, command };
}

function splitAtDashes(argv: readonly string[]) {
  const split = argv.indexOf("--");
  if (split < 0) return { options: argv, command: [] };
  return { options: argv.slice(0, split), command: argv.slice(split + 1) };
}

function readOptions(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        container: { type: "string", short: "c" },
        pod: { type: "string", short: "p" },
        stdin: { type: "boolean", short: "i" },
        tty: { type: "boolean", short: "t" },
      },
    });
  } catch (error) {
    if (error instanceof TypeError) return error.message;
    throw error;
  }
}

/** The WebSocket's address. Pure. */
export function execUrl(base: string, words: ExecWords): string {
  const url = new URL(base);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.pathname = `${url.pathname.replace(/\/$/, "")}/v1/apps/${encodeURIComponent(words.app)}/exec`;
  for (const part of words.command) url.searchParams.append("command", part);
  if (words.container !== undefined) url.searchParams.set("container", words.container);
  if (words.pod !== undefined) url.searchParams.set("pod", words.pod);
  url.searchParams.set("tty", String(words.tty));
  url.searchParams.set("stdin", String(words.stdin));
  return url.href;
}

/** How the command ended, from the last frame: its exit code, and what to say where it has none. Pure. */
export function exitOf(status: string): { readonly code: number; readonly words?: string } {
  const said = JSON.parse(status) as {
    status?: string;
    message?: string;
    details?: { causes?: { reason?: string; message?: string }[] };
  };
  if (said.status === "Success") return { code: 0 };
  const code = said.details?.causes?.find((it) => it.reason === "ExitCode")?.message;
  if (code !== undefined) return { code: Number(code) };
  return { code: 126, words: said.message ?? "the command failed" };
}
