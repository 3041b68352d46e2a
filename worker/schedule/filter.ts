import type { Amounts, NodeView } from "./world.ts";

/** A node whose agent was silent for longer takes no new pods, and what it said last proves nothing new. */
const SILENT_AFTER_MS = 45_000;

export type Verdict = { readonly fits: true } | { readonly fits: false; readonly why: string };

/** Whether `node` can take a pod that asks for `requests` now, or in words with numbers why not. */
export function canTake(node: NodeView, requests: Amounts, nowMs: number): Verdict {
  if (node.cordoned) return no(`${node.name}: cordoned`);
  if (node.seenAtMs === 0) return no(`${node.name}: has not reported yet`);
  if (isSilent(node, nowMs)) return no(`${node.name}: ${silence(node)}`);
  const shortages = shortOf(node, requests);
  return shortages.length === 0
    ? { fits: true }
    : no(`${node.name}: short by ${shortages.join(", ")}`);
}

export function isSilent(node: NodeView, nowMs: number): boolean {
  return nowMs - node.seenAtMs > SILENT_AFTER_MS;
}

/** A moment and no span: the same words each time are written into the history once. */
export function silence({ seenAtMs }: NodeView): string {
  return `silent since ${new Date(seenAtMs).toISOString()}`;
}

/** `node` with a pod more on it. */
export function withPod(node: NodeView, requests: Amounts): NodeView {
  const { cpuMillis, memoryBytes, pods } = node.used;
  return {
    ...node,
    used: {
      cpuMillis: cpuMillis + requests.cpuMillis,
      memoryBytes: memoryBytes + requests.memoryBytes,
      pods: pods + requests.pods,
    },
  };
}

function shortOf({ allocatable, used }: NodeView, requests: Amounts): readonly string[] {
  const missing = (of: keyof Amounts) => used[of] + requests[of] - allocatable[of];
  const words: string[] = [];
  if (missing("memoryBytes") > 0) words.push(`${inGigabytes(missing("memoryBytes"))} memory`);
  if (missing("cpuMillis") > 0) words.push(`${missing("cpuMillis") / 1000} CPU`);
  if (missing("pods") > 0) words.push(`${missing("pods")} pod`);
  return words;
}

function inGigabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e7) / 100}G`;
}

function no(why: string): Verdict {
  return { fits: false, why };
}
