/*
 * How much one node may be told. An agent takes an answer of 32 MiB at most, and a wish that is larger
 * would never reach it again: so a pod is bounded when it is declared, and a node's sum when pods are
 * placed. Both count bytes as they cross the wire; half of an answer is left for what is not counted
 * (routes, images to keep, names).
 */

export const MIB = 1024 * 1024;
/** One pod's text and the config maps and secrets that it names. Two releases of it are to fit beside others. */
export const MAX_POD_BYTES = 4 * MIB;
/** All that a node is told: each pod's text, and each version of a config map or secret once. */
export const MAX_WISH_BYTES = 16 * MIB;
/** Those that have run to their end count too: a node tells of each, and its report holds 2,000. */
export const MAX_WISH_PODS = 1_000;

export function jsonBytes(value: unknown): number {
  return new TextEncoder().encode(JSON.stringify(value)).length;
}

/** Of a secret with `plain` bytes of content, sealed for a node and in base64. */
export function sealedBytes(plain: number): number {
  return 4 * Math.ceil((plain + 60) / 3);
}

export function inMib(bytes: number): string {
  return `${Math.ceil((bytes / MIB) * 100) / 100} MiB`;
}
