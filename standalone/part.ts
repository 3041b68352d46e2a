/** How to find out that a part answers. Data, so that the parts stay pure. */
export type Check =
  | { readonly kind: "http"; readonly url: string }
  | { readonly kind: "http-on-socket"; readonly socket: string; readonly path: string }
  | { readonly kind: "socket"; readonly socket: string }
  | { readonly kind: "redis"; readonly port: number; readonly password: string }
  | { readonly kind: "command"; readonly program: string; readonly argv: readonly string[] }
  | { readonly kind: "log-line"; readonly text: string };

export type Folder = {
  readonly path: string;
  readonly mode: string;
  /** A user of this machine; root where absent. */
  readonly owner?: string;
};

export type ConfigFile = {
  readonly path: string;
  readonly text: string;
  readonly owner?: string;
  /** 0600 where absent. */
  readonly mode?: string;
};

export type PartName =
  | "postgres"
  | "redis"
  | "registry"
  | "containerd"
  | "caddy"
  | "front"
  | "api"
  | "worker"
  | "node-agent";

/** One long-running program of an installation: all that is needed to start, watch and stop it. */
export type Part = {
  readonly name: PartName;
  readonly program: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Made, or given their owner and mode, before each start; parents first. */
  readonly folders: readonly Folder[];
  /** Written before each start, readable by their owner only. */
  readonly files: readonly ConfigFile[];
  /** Sockets that a killed predecessor may have left; removed before each start. */
  readonly sockets: readonly string[];
  /** What it remembers of its configuration; removed when `files` changed since the last start. */
  readonly memories: readonly string[];
  /** TCP ports that it listens on while it runs. */
  readonly ports: readonly number[];
  /** One that an earlier standalone left running is kept where it is healthy and was started the same way. */
  readonly adopt: boolean;
  readonly ready: Check;
  readonly readyWithinMs: number;
  readonly stop: { readonly signal: NodeJS.Signals; readonly graceMs: number };
};

type Command = Pick<Part, "program" | "argv">;

/** The same command as an unprivileged user that can never gain more. */
export function asUser(user: string, command: Command): Command {
  const identity = [`--reuid=${user}`, `--regid=${user}`, "--init-groups", "--no-new-privs"];
  return setpriv(identity, command);
}

/** The same command as root without root's powers, save listening on ports below 1024. */
export function asPowerlessRoot(command: Command): Command {
  return setpriv(
    ["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all,+net_bind_service"],
    command,
  );
}

function setpriv(how: readonly string[], command: Command): Command {
  return { program: "/usr/bin/setpriv", argv: [...how, "--", command.program, ...command.argv] };
}
