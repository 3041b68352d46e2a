import type { Mistake } from "../document/mistakes.ts";
import { type RawObject, rawList, rawObject, rawText } from "../document/raw.ts";
import { containerMistakes, exactlyOne, portKey, repeated, said } from "./container-rules.ts";
import { type HostPolicy, hostPathAllowed, hostPortAllowed } from "./host-policy.ts";
import { wrongFilePath, wrongHostPath } from "./path-rules.ts";

/*
 * What one field of a Pod asks of another: what a schema of fields cannot say. It looks at the
 * document as it was written, so that these mistakes are named together with those of the shape.
 */

const VOLUME_SOURCES = [
  ...["emptyDir", "hostPath", "secret", "configMap", "image"],
  "persistentVolumeClaim",
];

/** Labels that are Waybill's own, and annotations that a container runtime would read as orders. */
const OURS = /^waybill\.dev\//;
const ORDERS =
  /^(io\.podman|run\.oci|io\.kubernetes\.cri|io\.containerd|io\.katacontainers|dev\.gvisor|cdi\.k8s\.io|container\.apparmor\.|container\.seccomp\.|seccomp\.security\.)/;

type Path = readonly PropertyKey[];
type Listed = { readonly container: RawObject; readonly path: Path; readonly plainInit: boolean };

/**
 * The mistakes of a whole Pod document, by their paths in it. `policy` is what the operator allows of
 * the host; undefined where that was asked before.
 */
export function podMistakes(document: unknown, policy: HostPolicy | undefined): readonly Mistake[] {
  const { metadata, spec: written } = rawObject(document);
  const spec = rawObject(written);
  const containers = listed(spec);
  const volumes = new Set(rawList(spec.volumes).flatMap((volume) => rawText(volume.name) ?? []));
  return [
    ...reservedKeys(rawObject(metadata)),
    ...volumeMistakes(spec, policy),
    ...repeatedNames(containers),
    ...containers.flatMap(({ container, path, plainInit }) =>
      containerMistakes(container, path, { volumes, plainInit }),
    ),
    ...hostPortMistakes(containers, policy),
  ];
}

function listed(spec: RawObject): readonly Listed[] {
  const init = rawList(spec.initContainers).map((container, index) => ({
    container,
    path: ["spec", "initContainers", index],
    plainInit: container.restartPolicy === undefined,
  }));
  const main = rawList(spec.containers).map((container, index) => ({
    container,
    path: ["spec", "containers", index],
    plainInit: false,
  }));
  return [...init, ...main];
}

function repeatedNames(containers: readonly Listed[]): readonly Mistake[] {
  const names = containers.map(({ container, path }) => ({
    key: rawText(container.name),
    path: [...path, "name"],
  }));
  return repeated(names, (name) => `another container of this pod is named "${name}"`);
}

function reservedKeys(metadata: RawObject): readonly Mistake[] {
  const below = (map: "labels" | "annotations", pattern: RegExp, message: string) =>
    Object.keys(rawObject(metadata[map]))
      .filter((key) => pattern.test(key))
      .map((key) => ({ path: ["metadata", map, key], message }));
  return [
    ...below("labels", OURS, "names below waybill.dev/ are Waybill's own"),
    ...below("annotations", OURS, "names below waybill.dev/ are Waybill's own"),
    ...below("annotations", ORDERS, "not taken: it would be an order to the container runtime"),
  ];
}

function volumeMistakes(spec: RawObject, policy: HostPolicy | undefined): readonly Mistake[] {
  const volumes = rawList(spec.volumes).map((volume, index) => ({
    volume,
    at: ["spec", "volumes", index] as Path,
  }));
  const names = volumes.map(({ volume, at }) => ({
    key: rawText(volume.name),
    path: [...at, "name"],
  }));
  return [
    ...repeated(names, (name) => `another volume of this pod is named "${name}"`),
    ...volumes.flatMap(({ volume, at }) => [
      ...(hasUnknownSource(volume) ? [] : exactlyOne(volume, at, VOLUME_SOURCES)),
      ...fileMistakes(volume.secret, [...at, "secret"]),
      ...fileMistakes(volume.configMap, [...at, "configMap"]),
      ...hostPathMistakes(volume.hostPath, [...at, "hostPath", "path"], policy),
    ]),
  ];
}

/** A source that is not taken, or misspelt: it is named as that, and the volume is not empty besides. */
function hasUnknownSource(volume: RawObject): boolean {
  const sources = Object.keys(volume).filter((key) => key !== "name");
  return sources.length === 1 && !VOLUME_SOURCES.includes(sources[0] ?? "");
}

function fileMistakes(source: unknown, path: Path): readonly Mistake[] {
  return rawList(rawObject(source).items).flatMap((item, index) => {
    const file = rawText(item.path);
    return file === undefined || file === ""
      ? []
      : said(wrongFilePath(file), [...path, "items", index, "path"]);
  });
}

function hostPathMistakes(
  source: unknown,
  path: Path,
  policy: HostPolicy | undefined,
): readonly Mistake[] {
  const wanted = rawText(rawObject(source).path);
  if (wanted === undefined || !wanted.startsWith("/")) return [];
  const wrong = wrongHostPath(wanted);
  if (wrong !== undefined || policy === undefined) return said(wrong, path);
  if (hostPathAllowed(policy.paths, wanted)) return [];
  const allowed = policy.paths.length ? policy.paths.join(", ") : "none";
  const message = `host-paths: ${shortened(wanted)} is not allowed; the operator allows: ${allowed}`;
  return [{ path, message }];
}

function hostPortMistakes(
  containers: readonly Listed[],
  policy: HostPolicy | undefined,
): readonly Mistake[] {
  const ports = containers.flatMap(({ container, path }) =>
    rawList(container.ports).map(({ hostPort, protocol }, index) => ({
      hostPort,
      key: portKey(hostPort, protocol),
      path: [...path, "ports", index, "hostPort"],
    })),
  );
  const forbidden = ports.filter(
    ({ hostPort }) =>
      policy !== undefined && isPort(hostPort) && !hostPortAllowed(policy.ports, hostPort),
  );
  const ranges = (policy?.ports ?? []).map(({ from, to }) =>
    from === to ? from : `${from}-${to}`,
  );
  const allowed = ranges.length ? ranges.join(", ") : "none";
  return [
    ...repeated(ports, (key) => `the host's port ${key} is asked for twice`),
    ...forbidden.map(({ hostPort, path }) => ({
      path,
      message: `host-ports: ${hostPort} is not allowed; the operator allows: ${allowed}`,
    })),
  ];
}

function isPort(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65_535;
}

function shortened(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
