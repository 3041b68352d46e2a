import { asPowerlessRoot, type Part } from "../part.ts";
import { type CaddyOptions, type CaddyProcess, caddyPart } from "./caddy.ts";
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

export type Ingress = {
  readonly router: Part;
  readonly front: Part;
  /** Through which the node-agent routes. */
  readonly adminSocket: string;
  /** Where the router gets its requests. */
  readonly ingressSocket: string;
};

/** The ingress as two parts, and the sockets that the node-agent has to know. */
export function ingress(o: CaddyOptions): Ingress {
  const { front, router, ingressSocket } = caddyPart(o);
  const { XDG_CONFIG_HOME: configHome } = router.env;
  const routerPart = {
    ...caddyOf("caddy", router),
    sockets: [router.adminSocket, ingressSocket],
    // Routes resumed from before a change of this file would listen where they did then.
    memories: [`${configHome}/caddy/autosave.json`],
  };
  const frontPart = { ...caddyOf("front", front), ports: [o.httpPort] };
  return {
    router: routerPart,
    front: frontPart,
    adminSocket: router.adminSocket,
    ingressSocket,
  };
}

function caddyOf(name: "caddy" | "front", built: CaddyProcess): Part {
  return {
    name,
    ...asPowerlessRoot(built),
    env: built.env,
    folders: foldersOf(built.files),
    files: built.files,
    sockets: [built.adminSocket],
    memories: [],
    ports: [],
    adopt: true,
    ready: { kind: "http-on-socket", socket: built.adminSocket, path: "/config/" },
    readyWithinMs: 30_000,
    stop: { signal: "SIGTERM", graceMs: 10_000 },
  };
}

function foldersOf(files: readonly { readonly path: string }[]): Part["folders"] {
  const folders = new Set(files.map((file) => file.path.slice(0, file.path.lastIndexOf("/"))));
  return [...folders].map((path) => ({ path, mode: "0700" }));
}
