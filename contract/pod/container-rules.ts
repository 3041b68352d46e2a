import type { Mistake } from "../document/mistakes.ts";
import { present, type RawObject, rawList, rawObject, rawText } from "../document/raw.ts";
import { moreThan } from "../document/units.ts";
import { normalPath } from "./host-policy.ts";
import { wrongMountPath, wrongSubPath } from "./path-rules.ts";

type Path = readonly PropertyKey[];

const PROBES = ["startupProbe", "readinessProbe", "livenessProbe"] as const;
const PROBE_ACTIONS = ["httpGet", "tcpSocket", "exec"];
const HOOKS = ["postStart", "preStop"] as const;
const HOOK_ACTIONS = ["exec", "httpGet", "sleep"];
const ENV_SOURCES = ["secretKeyRef", "configMapKeyRef", "fieldRef"];

/** What one field of a container asks of another, and of the volumes that its pod declares. */
export function containerMistakes(
  container: RawObject,
  path: Path,
  pod: { readonly volumes: ReadonlySet<string>; readonly plainInit: boolean },
): readonly Mistake[] {
  return [
    ...environmentMistakes(container, path),
    ...portMistakes(container, path),
    ...resourceMistakes(container, path),
    ...(pod.plainInit ? plainInitMistakes(container, path) : []),
    ...probeMistakes(container, path),
    ...hookMistakes(container, path),
    ...mountMistakes(container, path, pod.volumes),
  ];
}

/** One mistake for each key that stood there before; an undefined key is none. */
export function repeated(
  entries: readonly { readonly key: string | undefined; readonly path: Path }[],
  message: (key: string) => string,
): readonly Mistake[] {
  const seen = new Set<string>();
  return entries.flatMap(({ key, path }) => {
    if (key === undefined) return [];
    if (seen.has(key)) return [{ path, message: message(key) }];
    seen.add(key);
    return [];
  });
}

/** A mistake unless exactly one of `names` is there. */
export function exactlyOne(value: RawObject, path: Path, names: readonly string[]): Mistake[] {
  const found = present(value, names);
  if (found.length === 1) return [];
  const last = names.at(-1);
  const message = `needs exactly one of ${names.slice(0, -1).join(", ")} and ${last}`;
  return [{ path, message: found.length ? `${message}; it has ${found.join(" and ")}` : message }];
}

function environmentMistakes(container: RawObject, path: Path): readonly Mistake[] {
  return rawList(container.env).flatMap((variable, index) => {
    if (variable.valueFrom === undefined) return [];
    const at = [...path, "env", index];
    const both =
      variable.value === undefined
        ? []
        : [{ path: at, message: "has a value or valueFrom, not both" }];
    return [
      ...both,
      ...exactlyOne(rawObject(variable.valueFrom), [...at, "valueFrom"], ENV_SOURCES),
    ];
  });
}

function portMistakes(container: RawObject, path: Path): readonly Mistake[] {
  const ports = rawList(container.ports).map((port, index) => ({
    port,
    at: [...path, "ports", index],
  }));
  const names = ports.map(({ port, at }) => ({ key: rawText(port.name), path: [...at, "name"] }));
  const numbers = ports.map(({ port, at }) => ({
    key: portKey(port.containerPort, port.protocol),
    path: [...at, "containerPort"],
  }));
  return [
    ...repeated(names, (name) => `another port of this container is named "${name}"`),
    ...repeated(numbers, (key) => `${key} stands here twice`),
  ];
}

/** "TCP 80"; undefined where there is no number. */
export function portKey(number: unknown, protocol: unknown): string | undefined {
  return typeof number === "number" ? `${rawText(protocol) ?? "TCP"} ${number}` : undefined;
}

function resourceMistakes(container: RawObject, path: Path): readonly Mistake[] {
  const { requests, limits } = rawObject(container.resources);
  return ["cpu", "memory"].flatMap((resource) => {
    const request = quantityText(rawObject(requests)[resource]);
    const limit = quantityText(rawObject(limits)[resource]);
    if (request === undefined || limit === undefined || !moreThan(request, limit)) return [];
    const message = `must not be more than its limit, ${limit}`;
    return [{ path: [...path, "resources", "requests", resource], message }];
  });
}

function quantityText(value: unknown): string | undefined {
  return typeof value === "number" ? String(value) : rawText(value);
}

function plainInitMistakes(container: RawObject, path: Path): readonly Mistake[] {
  return present(container, [...PROBES, "lifecycle"]).map((name) => ({
    path: [...path, name],
    message:
      "an init container ends before the others start, so it has none; a sidecar (restartPolicy: Always) may",
  }));
}

function probeMistakes(container: RawObject, path: Path): readonly Mistake[] {
  return present(container, PROBES).flatMap((name) => {
    const probe = rawObject(container[name]);
    const at = [...path, name];
    const threshold = probe.successThreshold;
    const once = name !== "readinessProbe" && typeof threshold === "number" && threshold > 1;
    return [
      ...exactlyOne(probe, at, PROBE_ACTIONS),
      ...(once ? [{ path: [...at, "successThreshold"], message: "must be 1 for this probe" }] : []),
      ...unknownPort(container, probe.httpGet, [...at, "httpGet"]),
      ...unknownPort(container, probe.tcpSocket, [...at, "tcpSocket"]),
    ];
  });
}

function hookMistakes(container: RawObject, path: Path): readonly Mistake[] {
  const lifecycle = rawObject(container.lifecycle);
  return present(lifecycle, HOOKS).flatMap((name) => {
    const hook = rawObject(lifecycle[name]);
    const at = [...path, "lifecycle", name];
    return [
      ...exactlyOne(hook, at, HOOK_ACTIONS),
      ...unknownPort(container, hook.httpGet, [...at, "httpGet"]),
    ];
  });
}

/** A probe or hook may call a port by the name that its own container gives it. */
function unknownPort(container: RawObject, action: unknown, path: Path): readonly Mistake[] {
  const name = rawText(rawObject(action).port);
  if (name === undefined) return [];
  const known = rawList(container.ports).flatMap((port) => rawText(port.name) ?? []);
  if (known.includes(name)) return [];
  return [{ path: [...path, "port"], message: `no port of this container is named "${name}"` }];
}

function mountMistakes(
  container: RawObject,
  path: Path,
  volumes: ReadonlySet<string>,
): readonly Mistake[] {
  const mounts = rawList(container.volumeMounts).map((mount, index) => ({
    mount,
    at: [...path, "volumeMounts", index],
  }));
  const places = mounts.map(({ mount, at }) => ({
    key: normalPath(rawText(mount.mountPath) ?? ""),
    path: [...at, "mountPath"],
  }));
  return [
    ...mounts.flatMap(({ mount, at }) => [
      ...undeclared(rawText(mount.name), [...at, "name"], volumes),
      ...said(wrongMountPath(rawText(mount.mountPath) ?? ""), [...at, "mountPath"]),
      ...said(wrongSubPath(rawText(mount.subPath) ?? ""), [...at, "subPath"]),
    ]),
    ...repeated(places, (place) => `another volume is mounted at ${place} already`),
  ];
}

function undeclared(
  name: string | undefined,
  path: Path,
  volumes: ReadonlySet<string>,
): readonly Mistake[] {
  if (name === undefined || volumes.has(name)) return [];
  const declared = [...volumes].slice(0, 10).join(", ");
  const message = `the pod declares no volume "${name}"`;
  return [{ path, message: declared === "" ? message : `${message}; it declares ${declared}` }];
}

export function said(wrong: string | undefined, path: Path): readonly Mistake[] {
  return wrong === undefined ? [] : [{ path, message: wrong }];
}
