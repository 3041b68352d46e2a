import { NODE_PORTS } from "../node/node-ports.ts";
import { inMib, MAX_WISH_BYTES, MAX_WISH_PODS } from "../node/wish-size.ts";

/** How much a node is told, in bytes as they cross the wire. */
export type WishSize = {
  /** Those that are wanted there, finished ones with them. */
  readonly pods: number;
  readonly bytes: number;
  /** Its ports that pods have, or had lately: see NODE_PORTS. */
  readonly doors: number;
  /** What it is told of config maps and secrets, each version by a name of its own. */
  readonly materials: ReadonlySet<string>;
};

export const NOTHING_TOLD: WishSize = { pods: 0, bytes: 0, doors: 0, materials: new Set() };

/** What a pod of a release adds to that: its text, and what of its config maps and secrets is not there. */
export type WishPart = {
  readonly textBytes: number;
  /** Whether its node opens a port for it. */
  readonly door: boolean;
  readonly materials: ReadonlyMap<string, number>;
};

export function withPart(wish: WishSize, part: WishPart): WishSize {
  const { materials } = part;
  return {
    pods: wish.pods + 1,
    bytes: bytesWith(wish, part),
    doors: wish.doors + (part.door ? 1 : 0),
    materials:
      materials.size === 0 ? wish.materials : new Set([...wish.materials, ...materials.keys()]),
  };
}

function bytesWith(wish: WishSize, { textBytes, materials }: WishPart): number {
  let bytes = wish.bytes + textBytes;
  for (const [key, more] of materials) if (!wish.materials.has(key)) bytes += more;
  return bytes;
}

const DOORS = NODE_PORTS.last - NODE_PORTS.first + 1;

/** In words, why a node cannot be told of one more such pod: what it is told must reach it in one answer. */
export function wishTrouble(wish: WishSize, part: WishPart): readonly string[] {
  const bytes = bytesWith(wish, part);
  const words: string[] = [];
  if (part.door && wish.doors >= DOORS)
    words.push(`all of its ${DOORS} ports for requests are taken, or were a moment ago`);
  if (wish.pods >= MAX_WISH_PODS)
    words.push(`has ${wish.pods} pods to keep, finished ones with them`);
  if (bytes > MAX_WISH_BYTES) {
    const sum = `${inMib(bytes)} of at most ${inMib(MAX_WISH_BYTES)}`;
    words.push(`its pods, config maps and secrets would take ${sum}`);
  }
  return words;
}
