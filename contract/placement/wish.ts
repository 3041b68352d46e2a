import { inMib, MAX_WISH_BYTES, MAX_WISH_PODS } from "../node/wish-size.ts";

/** How much a node is told, in bytes as they cross the wire. */
export type WishSize = {
  /** Those that are wanted there, finished ones with them. */
  readonly pods: number;
  readonly bytes: number;
  /** What it is told of config maps and secrets, each version by a name of its own. */
  readonly materials: ReadonlySet<string>;
};

export const NOTHING_TOLD: WishSize = { pods: 0, bytes: 0, materials: new Set() };

/** What a pod of a release adds to that: its text, and what of its config maps and secrets is not there. */
export type WishPart = {
  readonly textBytes: number;
  readonly materials: ReadonlyMap<string, number>;
};

export function withPart(wish: WishSize, { textBytes, materials }: WishPart): WishSize {
  const fresh = [...materials].filter(([key]) => !wish.materials.has(key));
  return {
    pods: wish.pods + 1,
    bytes: fresh.reduce((sum, [_, bytes]) => sum + bytes, wish.bytes + textBytes),
    materials: new Set([...wish.materials, ...materials.keys()]),
  };
}

/** In words, why a node cannot be told of one more such pod: what it is told must reach it in one answer. */
export function wishTrouble(wish: WishSize, part: WishPart): readonly string[] {
  const { pods, bytes } = withPart(wish, part);
  const words: string[] = [];
  if (pods > MAX_WISH_PODS) words.push(`has ${wish.pods} pods to keep, finished ones with them`);
  if (bytes > MAX_WISH_BYTES) {
    const sum = `${inMib(bytes)} of at most ${inMib(MAX_WISH_BYTES)}`;
    words.push(`its pods, config maps and secrets would take ${sum}`);
  }
  return words;
}
