import { jsonPointer } from "../document/document.ts";
import type { EnvVar } from "./container.ts";
import type { Pod, PodSpec } from "./pod.ts";

export type MaterialKind = "Secret" | "ConfigMap";

/** One place of a pod that names a secret or a config map. Pointers start at the pod's spec. */
export type MaterialUse = {
  readonly kind: MaterialKind;
  readonly name: string;
  /** Where it is named. */
  readonly pointer: string;
  /** The keys that it must have. */
  readonly keys: readonly { readonly key: string; readonly pointer: string }[];
  readonly optional: boolean;
};

type Spec = PodSpec | Pod["spec"];

/** Every place of a pod that names a secret or a config map, in the order of the document. */
export function materialUses(spec: Spec): readonly MaterialUse[] {
  const ofContainers = (["initContainers", "containers"] as const).flatMap((list) =>
    spec[list].flatMap(({ env }, at) => env.flatMap((it, n) => envUse(it, [list, at, "env", n]))),
  );
  const ofVolumes = spec.volumes.flatMap((volume, at) => volumeUse(volume, ["volumes", at]));
  return [...ofContainers, ...ofVolumes];
}

function envUse({ valueFrom }: EnvVar, at: readonly PropertyKey[]): MaterialUse[] {
  const from = (
    [
      ["Secret", "secretKeyRef"],
      ["ConfigMap", "configMapKeyRef"],
    ] as const
  ).flatMap(([kind, member]) => {
    const reference = valueFrom?.[member];
    if (!reference) return [];
    const pointer = (last: string) => jsonPointer([...at, "valueFrom", member, last]);
    const { name, key, optional } = reference;
    return [
      { kind, name, pointer: pointer("name"), keys: [{ key, pointer: pointer("key") }], optional },
    ];
  });
  return from;
}

function volumeUse(
  { secret, configMap }: Spec["volumes"][number],
  at: readonly PropertyKey[],
): MaterialUse[] {
  const uses: MaterialUse[] = [];
  if (secret) {
    const pointer = jsonPointer([...at, "secret", "secretName"]);
    const keys = itemKeys(secret.items, [...at, "secret"]);
    uses.push({
      kind: "Secret",
      name: secret.secretName,
      pointer,
      keys,
      optional: secret.optional,
    });
  }
  if (configMap) {
    const pointer = jsonPointer([...at, "configMap", "name"]);
    const keys = itemKeys(configMap.items, [...at, "configMap"]);
    uses.push({
      kind: "ConfigMap",
      name: configMap.name,
      pointer,
      keys,
      optional: configMap.optional,
    });
  }
  return uses;
}

function itemKeys(
  items: readonly { readonly key: string }[] | undefined,
  at: readonly PropertyKey[],
): MaterialUse["keys"] {
  return (items ?? []).map(({ key }, n) => ({
    key,
    pointer: jsonPointer([...at, "items", n, "key"]),
  }));
}
