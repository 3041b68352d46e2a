import { type MaterialKind, materialUses } from "../../contract/pod/material-use.ts";
import { POD_LABELS, type Pod } from "../../contract/pod/pod.ts";

/** Of all that a wish has of this kind what the pod names: those of its own project. Pure. */
export function namedBy<T extends { readonly project: string; readonly name: string }>(
  { metadata, spec }: Pod,
  kind: MaterialKind,
  all: readonly T[],
): readonly T[] {
  const project = metadata.labels[POD_LABELS.project];
  const uses = materialUses(spec).filter((it) => it.kind === kind);
  const names = new Set(uses.map((it) => it.name));
  return all.filter((it) => it.project === project && names.has(it.name));
}
