import type { NodeId, PodId, ReleaseId } from "../../contract/ids.ts";
import type { PodStatus } from "../../contract/node-protocol.ts";

/** What one pod asks of a node, and what a node has: thousandths of a core, bytes, and a count. */
export type Amounts = {
  readonly cpuMillis: number;
  readonly memoryBytes: number;
  readonly pods: number;
};

export type RollingPhase = "built" | "rolling" | "live";

export type ReleaseView = {
  readonly id: ReleaseId;
  readonly number: number;
  readonly phase: RollingPhase;
  /** Since when it is in this phase, ms since the epoch. */
  readonly phaseAtMs: number;
  readonly replicas: number;
  readonly maxSurge: number;
  readonly progressDeadlineMs: number;
  readonly requests: Amounts;
};

export type PodSight = { readonly status: PodStatus; readonly sinceMs: number };

export type PodView = {
  readonly id: PodId;
  readonly name: string;
  readonly release: ReleaseId;
  readonly node: NodeId;
  readonly wanted: "run" | "gone";
  readonly seen: PodSight | undefined;
};

export type NodeView = {
  readonly id: NodeId;
  readonly name: string;
  readonly cordoned: boolean;
  /** When its agent last reported, ms since the epoch; 0 for never. */
  readonly seenAtMs: number;
  readonly allocatable: Amounts;
  /** What the pods of all apps ask that are wanted there, or still seen there. */
  readonly used: Amounts;
};

export type World = {
  readonly nowMs: number;
  readonly appDeleted: boolean;
  /** The app's releases that are built, rolling or live. */
  readonly releases: readonly ReleaseView[];
  /** The app's pods that are wanted, or gone and still seen. */
  readonly pods: readonly PodView[];
  readonly nodes: readonly NodeView[];
};
