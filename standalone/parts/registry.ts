import { asUser, type Part } from "../part.ts";

export type RegistryOptions = {
  readonly home: string;
  readonly port: number;
  readonly secret: string;
};

/** The OCI registry on loopback: files on disk, deletion on, no cache that outlives a deleted blob. */
export function registryPart(o: RegistryOptions): Part {
  const config = `${o.home}/config.yml`;
  // JSON is YAML, and quotes every path by itself.
  const text = JSON.stringify(
    {
      version: "0.1",
      log: { level: "error", accesslog: { disabled: true } },
      storage: {
        filesystem: { rootdirectory: `${o.home}/storage` },
        delete: { enabled: true },
      },
      http: { addr: `127.0.0.1:${o.port}`, secret: o.secret, draintimeout: "5s" },
    },
    undefined,
    2,
  );
  return {
    name: "registry",
    ...asUser("docker-registry", { program: "/usr/bin/docker-registry", argv: ["serve", config] }),
    env: { OTEL_TRACES_EXPORTER: "none" },
    folders: [{ path: o.home, mode: "0700", owner: "docker-registry" }],
    files: [{ path: config, text: `${text}\n`, owner: "docker-registry" }],
    sockets: [],
    memories: [],
    ports: [o.port],
    adopt: true,
    ready: { kind: "http", url: `${registryUrl(o)}/v2/` },
    readyWithinMs: 30_000,
    stop: { signal: "SIGTERM", graceMs: 10_000 },
  };
}

export function registryUrl(o: Pick<RegistryOptions, "port">): string {
  return `http://127.0.0.1:${o.port}`;
}
