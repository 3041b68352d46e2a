import { asPowerlessRoot, type Part } from "../part.ts";
import { type CaddyOptions, type CaddyPart, caddyPart } from "./caddy.ts";
import { type ContainerdOptions, type ContainerdPart, containerdPart } from "./containerd.ts";

/** The container runtime as a part, and what the node-agent has to know of it. */
export function containerRuntime(o: ContainerdOptions): ContainerdPart & { readonly part: Part } {
  const built = containerdPart(o);
  const socket = built.endpoint.replace(/^unix:\/\//, "");
  const part: Part = {
    name: "containerd",
    program: built.program,
    argv: built.argv,
    env: built.env,
    folders: [...foldersOf(built.files), { path: built.hostsDir, mode: "0700" }],
    files: built.files,
    sockets: [],
    memories: [],
    ports: [],
    adopt: true,
    ready: { kind: "socket", socket },
    readyWithinMs: 60_000,
    // The pods live in shims of their own and do not notice.
    stop: { signal: "SIGTERM", graceMs: 20_000 },
  };
  return { ...built, part };
}

/** The ingress as a part, and the socket through which the node-agent routes. */
export function ingress(o: CaddyOptions): CaddyPart & { readonly part: Part } {
  const built = caddyPart(o);
  const { XDG_CONFIG_HOME: configHome } = built.env;
  const part: Part = {
    name: "caddy",
    ...asPowerlessRoot(built),
    env: built.env,
    folders: foldersOf(built.files),
    files: built.files,
    sockets: [built.adminSocket],
    // Routes resumed from before a change of port would listen on the old one.
    memories: [`${configHome}/caddy/autosave.json`],
    ports: [o.httpPort],
    adopt: true,
    ready: { kind: "http-on-socket", socket: built.adminSocket, path: "/config/" },
    readyWithinMs: 30_000,
    stop: { signal: "SIGTERM", graceMs: 10_000 },
  };
  return { ...built, part };
}

function foldersOf(files: readonly { readonly path: string }[]): Part["folders"] {
  const folders = new Set(files.map((file) => file.path.slice(0, file.path.lastIndexOf("/"))));
  return [...folders].map((path) => ({ path, mode: "0700" }));
}
