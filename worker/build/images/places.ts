import { isIP } from "node:net";
import type { ImageName } from "../../../contract/image-reference.ts";
import { isMadeByWaybill, isReadableBy } from "../../../contract/image-reference.ts";
import { REGISTRY_NAME } from "../../../contract/node/protocol.ts";

/** Where an image may be. `asked` is how people call that place. */
export type Place =
  | { readonly kind: "own"; readonly repository: string; readonly asked: string }
  | { readonly kind: "elsewhere"; readonly registry: RemoteRegistry; readonly repository: string };

export type RemoteRegistry = {
  /** As people call it: "docker.io", "localhost:5000". */
  readonly name: string;
  /** Where it answers: https, and plain HTTP on loopback, as Docker does. */
  readonly url: string;
  readonly onLoopback: boolean;
};

/** What a name is read by: whose release it is, and `host:port` of every address of Waybill's own registry. */
export type Reader = { readonly project: string; readonly ownAddresses: ReadonlySet<string> };

/**
 * The places where an image of this name is looked for, in order. Empty when the name is one that
 * this project may not read. Pure.
 */
export function placesOf(name: ImageName, reader: Reader): readonly Place[] {
  const { registry, path } = name;
  if (registry === undefined) {
    const inLibrary = path.includes("/") ? [] : [`library/${path}`];
    // Waybill's own folders are not what somebody means who writes "base/archlinux".
    const own = [...inLibrary, path].filter((it) => !isMadeByWaybill(it)).map(ownPlace);
    return [...own, elsewhere("docker.io", path)];
  }
  if (!isOwn(registry, reader)) return [elsewhere(registry.toLowerCase(), path)];
  return isReadableBy(reader.project, path) ? [ownPlace(path)] : [];
}

/** Where Waybill keeps its copy. Undefined when the name would be too long for a registry. */
export function mirrorRepository({ registry, repository }: ElsewherePlace): string | undefined {
  const folder = registry.name
    .replace(/^\[(.*)\]/, (_, address: string) => `ip6.${address.replaceAll(":", "x")}`)
    .replace(":", "_");
  const path = `mirror/${folder}/${repository}`;
  return path.length <= MAX_REPOSITORY_CHARS ? path : undefined;
}

type ElsewherePlace = Extract<Place, { kind: "elsewhere" }>;

/** Source: the CNCF distribution's RepositoryNameTotalLengthMax. */
const MAX_REPOSITORY_CHARS = 255;

function ownPlace(repository: string): Place {
  return { kind: "own", repository, asked: `Waybill's own registry (${repository})` };
}

const DOCKER_HUB = new Set(["docker.io", "index.docker.io", "registry-1.docker.io"]);

function elsewhere(name: string, path: string): Place {
  if (DOCKER_HUB.has(name)) {
    const registry = {
      name: "docker.io",
      url: "https://registry-1.docker.io",
      onLoopback: false,
    };
    const repository = path.includes("/") ? path : `library/${path}`;
    return { kind: "elsewhere", registry, repository };
  }
  const onLoopback = isLoopback(hostOf(name));
  const url = `${onLoopback ? "http" : "https"}://${name}`;
  return { kind: "elsewhere", registry: { name, url, onLoopback }, repository: path };
}

function isOwn(registry: string, { ownAddresses }: Reader): boolean {
  const name = registry.toLowerCase();
  if (name === REGISTRY_NAME || ownAddresses.has(name)) return true;
  // 127.0.0.1, 127.0.0.2 and localhost are one machine, and an address is another name of it.
  const port = /:(\d+)$/.exec(name)?.[1] ?? "80";
  return isLoopback(hostOf(name)) && ownAddresses.has(`localhost:${port}`);
}

function hostOf(name: string): string {
  return name.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
}

export function isLoopback(host: string): boolean {
  if (host === "localhost") return true;
  if (isIP(host) === 6) return URL.parse(`http://[${host}]`)?.hostname === "[::1]";
  return isIP(host) === 4 && host.startsWith("127.");
}
