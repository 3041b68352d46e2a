import type { EnvVar } from "../../contract/pod/container.ts";
import type { Container, Pod } from "../../contract/pod/pod.ts";
import type { PodValues, Values } from "../disk/materials.ts";
import { StartError } from "./start-error.ts";

/** What of its surroundings a container may be told. */
export type EnvSources = {
  readonly pod: Pod;
  readonly values: PodValues;
  readonly nodeName: string | undefined;
  readonly hostIp: string;
  /** Undefined where no container asks for it. */
  readonly podIp: string | undefined;
};

export type SpokenContainer = {
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly command: readonly string[];
  readonly args: readonly string[];
};

/**
 * A container's environment and command line with everything resolved, as Kubernetes does it: a value
 * may use variables that stand before it, a command all of them; the last of two equal names wins; what
 * is optional and not there is left out. Throws a StartError that names what is missing. Pure.
 */
export function speak(container: Container, around: EnvSources): SpokenContainer {
  const env = new Map<string, string>();
  for (const it of container.env) {
    const value = it.valueFrom ? sourced(it, around) : expand(it.value ?? "", env);
    if (value !== undefined) env.set(it.name, value);
  }
  return {
    env: [...env].map(([name, value]) => ({ name, value })),
    command: (container.command ?? []).map((it) => expand(it, env)),
    args: (container.args ?? []).map((it) => expand(it, env)),
  };
}

/** Whether a container asks for its pod's address, which is known only once there is a sandbox. */
export function asksForPodIp(container: Container): boolean {
  return container.env.some((it) => it.valueFrom?.fieldRef?.fieldPath.startsWith("status.podIP"));
}

/**
 * `$(NAME)` becomes the variable's value, or stays as it is where there is none; `$$` is a `$` that
 * begins nothing. Source: Kubernetes' third_party/forked/golang/expansion.
 */
export function expand(text: string, env: ReadonlyMap<string, string>): string {
  return text.replaceAll(/\$\$|\$\(([^)]*)\)/g, (found, name: string | undefined) =>
    name === undefined ? "$" : (env.get(name) ?? found),
  );
}

function sourced({ name, valueFrom }: EnvVar, around: EnvSources): string | undefined {
  const { secretKeyRef, configMapKeyRef, fieldRef } = valueFrom ?? {};
  if (secretKeyRef) return keyed("secret", around.values.secrets, secretKeyRef);
  if (configMapKeyRef) return keyed("config map", around.values.configMaps, configMapKeyRef);
  if (fieldRef) return fieldOf(fieldRef.fieldPath, around);
  throw new StartError("CreateContainerConfigError", `the variable ${name} has no source`);
}

function keyed(
  kind: string,
  all: ReadonlyMap<string, Values>,
  {
    name,
    key,
    optional,
  }: { readonly name: string; readonly key: string; readonly optional: boolean },
): string | undefined {
  const found = all.get(name);
  const value = found?.get(key);
  if (value !== undefined) return Buffer.from(value).toString("utf8");
  if (optional) return undefined;
  const missing = found
    ? `the ${kind} "${name}" has no key "${key}"`
    : `the ${kind} "${name}" is not on this node`;
  throw new StartError("CreateContainerConfigError", missing);
}

function fieldOf(path: string, { pod, nodeName, hostIp, podIp }: EnvSources): string {
  const { metadata } = pod;
  const [, map, key = ""] = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(path) ?? [];
  if (map === "labels") return metadata.labels[key] ?? "";
  if (map === "annotations") return metadata.annotations[key] ?? "";
  const plain: Readonly<Record<string, string | undefined>> = {
    "metadata.name": metadata.name,
    "metadata.namespace": "default",
    "metadata.uid": metadata.uid,
    "spec.nodeName": nodeName,
    "status.podIP": podIp,
    "status.podIPs": podIp,
    "status.hostIP": hostIp,
    "status.hostIPs": hostIp,
  };
  const value = plain[path];
  if (value === undefined)
    throw new StartError("CreateContainerConfigError", `${path} is not known on this node`);
  return value;
}
