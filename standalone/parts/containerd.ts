import type { ConfigFile } from "../part.ts";
import type { RuntimeHandler } from "./handlers.ts";

/** Equal to PAUSE_IMAGE of contract/node/protocol.ts, which this room may not import. */
const PAUSE_IMAGE = "waybill.internal/base/pause:1";
const CRI = `plugins."io.containerd.grpc.v1.cri"`;

export type ContainerdOptions = {
  readonly id: string;
  readonly dataDir: string;
  /** Readable by root only: sockets, namespaces and address leases, all gone after a reboot. */
  readonly runDir: string;
  readonly podCidr: string;
  /** Beside runc, which needs no name. */
  readonly handlers: readonly RuntimeHandler[];
};

/** Where containerd finds runc and the shims. */
export const PROGRAM_FOLDERS: readonly string[] = [
  "/usr/local/sbin",
  "/usr/local/bin",
  "/usr/sbin",
  "/usr/bin",
  "/sbin",
  "/bin",
];

export type ContainerdPart = {
  readonly program: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly files: readonly ConfigFile[];
  readonly endpoint: string;
  readonly hostsDir: string;
  readonly bridge: string;
};

/** A containerd that shares nothing with another on this machine but the kernel. Pure. */
export function containerdPart(o: ContainerdOptions): ContainerdPart {
  const home = `${o.dataDir}/containerd`;
  const socket = `${o.runDir}/containerd.sock`;
  const paths = { home, socket, hostsDir: `${home}/certs.d`, cniDir: `${home}/cni` };
  const bridge = `wb-${o.id}`.slice(0, 15);
  return {
    program: "/usr/bin/containerd",
    argv: ["--config", `${home}/config.toml`, "--log-level", "warn"],
    env: { PATH: PROGRAM_FOLDERS.join(":") },
    files: [
      { path: `${home}/config.toml`, text: configToml(paths, o) },
      ...o.handlers.flatMap(({ name, wrapper }) =>
        wrapper ? [{ path: wrapperPath(home, name), text: wrapper.text, mode: "0700" }] : [],
      ),
      { path: `${paths.cniDir}/10-waybill.conflist`, text: conflist(o, bridge) },
    ],
    endpoint: `unix://${socket}`,
    hostsDir: paths.hostsDir,
    bridge,
  };
}

type Paths = {
  readonly home: string;
  readonly socket: string;
  readonly hostsDir: string;
  readonly cniDir: string;
};

/*
 * Three settings keep it alive on a small VM: `restrict_oom_score_adj`, since a root without
 * CAP_SYS_RESOURCE cannot lower the score and the sandbox would die unexplained; Debian's `bin_dir`;
 * and the cgroupfs driver, which also works where systemd is not. AppArmor is found by containerd.
 */
function configToml(paths: Paths, { runDir, handlers }: ContainerdOptions): string {
  return `version = 2
root = ${quoted(paths.home)}
state = ${quoted(`${runDir}/containerd`)}
disabled_plugins = [
${UNUSED_PLUGINS.map((name) => `  ${quoted(name)},`).join("\n")}
]

[grpc]
  address = ${quoted(paths.socket)}

[plugins."io.containerd.monitor.v1.cgroups"]
  no_prometheus = true

[${CRI}]
  sandbox_image = ${quoted(PAUSE_IMAGE)}
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"

[${CRI}.cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = ${quoted(paths.cniDir)}

[${CRI}.registry]
  config_path = ${quoted(paths.hostsDir)}

[${CRI}.containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"
  discard_unpacked_layers = true

[${CRI}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[${CRI}.containerd.runtimes.runc.options]
  BinaryName = "/usr/sbin/runc"
  SystemdCgroup = false
${handlers.map((it) => handlerToml(paths.home, runDir, it)).join("")}`;
}

function handlerToml(
  home: string,
  runDir: string,
  { name, type, wrapper }: RuntimeHandler,
): string {
  const table = `${CRI}.containerd.runtimes.${name}`;
  const options = `
[${table}.options]
  BinaryName = ${quoted(wrapperPath(home, name))}
  Root = ${quoted(`${runDir}/${name}`)}
  SystemdCgroup = false
`;
  return `
[${table}]
  runtime_type = ${quoted(type)}
${wrapper ? options : ""}`;
}

function wrapperPath(home: string, handler: string): string {
  return `${home}/handlers/${handler}`;
}

const UNUSED_PLUGINS = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt",
  "io.containerd.internal.v1.restart",
  "io.containerd.tracing.processor.v1.otlp",
];

/** One address a pod on a bridge of our own. Leases live in `runDir`, as long as the namespaces do. */
function conflist(o: ContainerdOptions, bridge: string): string {
  const network = {
    cniVersion: "1.0.0",
    name: `waybill-${o.id}`,
    plugins: [
      {
        type: "bridge",
        bridge,
        isGateway: true,
        ipMasq: true,
        hairpinMode: true,
        ipam: {
          type: "host-local",
          dataDir: `${o.runDir}/addresses`,
          ranges: [[{ subnet: o.podCidr }]],
          routes: [{ dst: "0.0.0.0/0" }],
        },
      },
      { type: "portmap", capabilities: { portMappings: true }, snat: true },
    ],
  };
  return `${JSON.stringify(network, undefined, 2)}\n`;
}

/** A JSON string is a TOML basic string. */
function quoted(text: string): string {
  return JSON.stringify(text);
}
