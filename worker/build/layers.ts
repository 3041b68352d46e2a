import type { WarEntry } from "./war-entries.ts";

/** The layers of a WAR, in the order in which they lie on the base: what changes rarely first. */
export const LAYER_NAMES = ["libraries", "resources", "classes"] as const;
export type LayerName = (typeof LAYER_NAMES)[number];

/** One thing in a layer: a folder, or the WAR's entry that becomes a file. */
export type LayerItem =
  | { readonly kind: "directory"; readonly path: string }
  | { readonly kind: "file"; readonly path: string; readonly entry: WarEntry };

export type LayerPlan = { readonly name: LayerName; readonly items: readonly LayerItem[] };

/**
 * Which entry goes where: every layer is sorted by path and names the folders above what it holds,
 * so the same entries below the same folder give the same layers on every machine. A layer without
 * a thing is left out. Pure.
 */
export function planLayers(entries: readonly WarEntry[], folder: string): readonly LayerPlan[] {
  const items = {
    libraries: new Map<string, LayerItem>(),
    resources: new Map<string, LayerItem>(),
    classes: new Map<string, LayerItem>(),
  };
  for (const entry of entries) {
    const layer = items[layerOf(entry)];
    const path = `${folder}/${entry.name}`;
    if (entry.kind === "file") layer.set(path, { kind: "file", path, entry });
    for (const directory of foldersOf(path, entry.kind)) {
      if (layer.has(directory)) break;
      layer.set(directory, { kind: "directory", path: directory });
    }
  }
  return LAYER_NAMES.filter((name) => items[name].size > 0).map((name) => ({
    name,
    items: [...items[name].values()].sort((a, b) => compare(a.path, b.path)),
  }));
}

function layerOf({ name, kind }: WarEntry): LayerName {
  const path = kind === "directory" ? `${name}/` : name;
  if (path.startsWith("WEB-INF/lib/")) return "libraries";
  if (path.startsWith("WEB-INF/classes/")) return "classes";
  return "resources";
}

/** The innermost first. */
function* foldersOf(path: string, kind: WarEntry["kind"]): Generator<string> {
  if (kind === "directory") yield path;
  for (let cut = path.lastIndexOf("/"); cut > 0; cut = path.lastIndexOf("/", cut - 1)) {
    yield path.slice(0, cut);
  }
}

// By code unit: the order must not depend on a locale. A folder sorts before what it holds.
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
