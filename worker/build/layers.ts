import type { WarEntry } from "./war-entries.ts";

/** The layers of a WAR, in the order in which they lie on the base: what changes rarely first. */
const LAYER_NAMES = ["libraries", "resources", "classes"] as const;
type LayerName = (typeof LAYER_NAMES)[number];

/** One thing in a layer; a folder has no entry, since nothing but its path is taken over. */
type LayerItem = {
  readonly path: string;
  readonly entry: WarEntry | undefined;
};

export type LayerPlan = { readonly name: LayerName; readonly items: readonly LayerItem[] };

/**
 * Which entry goes where: every layer is sorted by path and names the folders above what it holds,
 * so the same entries give the same layers on every machine, in whatever order they come. A layer
 * without a thing is left out. Paths are relative to the app's folder. Pure.
 */
export function planLayers(entries: readonly WarEntry[]): readonly LayerPlan[] {
  const folders = { libraries: folderSet(), resources: folderSet(), classes: folderSet() };
  const items: Record<LayerName, LayerItem[]> = { libraries: [], resources: [], classes: [] };
  for (const entry of entries) {
    const layer = layerOf(entry);
    if (entry.kind === "file") items[layer].push({ path: entry.name, entry });
    else addFolder(folders[layer], entry.name);
    addFolder(folders[layer], parentOf(entry.name));
  }
  return LAYER_NAMES.flatMap((name) => {
    for (const path of folders[name]) items[name].push({ path, entry: undefined });
    items[name].sort((a, b) => compare(a.path, b.path));
    return items[name].length === 0 ? [] : [{ name, items: items[name] }];
  });
}

/** A folder and every folder above it, the outermost first; none for "". */
export function foldersDownTo(path: string): readonly string[] {
  return path === "" ? [] : [...foldersDownTo(parentOf(path)), path];
}

function folderSet(): Set<string> {
  return new Set();
}

/** Once a folder is known, so are those above. */
function addFolder(known: Set<string>, path: string): void {
  for (let folder = path; folder !== "" && !known.has(folder); folder = parentOf(folder)) {
    known.add(folder);
  }
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

function layerOf({ name, kind }: WarEntry): LayerName {
  const path = kind === "directory" ? `${name}/` : name;
  if (path.startsWith("WEB-INF/lib/")) return "libraries";
  if (path.startsWith("WEB-INF/classes/")) return "classes";
  return "resources";
}

// By code unit: the order must not depend on a locale. A folder sorts before what it holds.
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
