import type { NodeId, PodId, ReleaseId } from "../../contract/ids.ts";
import type { PodStatus } from "../../contract/node/protocol.ts";
import type { Pod } from "../../contract/pod/pod.ts";
import type { Amounts } from "../../contract/pod/requests.ts";
import type { WishSize } from "../../db/nodes/wish-sizes.ts";
import type { Demands } from "./demands.ts";
import type { Source } from "./pod.ts";
import type { WishPart } from "./wish.ts";

export type RollingPhase = "built" | "rolling" | "live";

export type ReleaseView = {
  readonly id: ReleaseId;
  readonly number: number;
  readonly phase: RollingPhase;
  /** Since when it is in this phase, ms since the epoch. */
  readonly phaseAtMs: number;
  readonly source: Source;
  readonly restartPolicy: Pod["spec"]["restartPolicy"];
  readonly replicas: number;
  readonly maxSurge: number;
  readonly progressDeadlineMs: number;
  /** For how long a pod of it has to be ready before that proves anything, in ms. */
  readonly settleMs: number;
  /** What each of its pods asks of a node. */
  readonly demands: Demands;
  /** What each of its pods adds to what its node is told. */
  readonly wish: WishPart;
  /** What its pods are, but for labels and annotations: a pod of the same text need not be made anew. */
  readonly fingerprint: string;
  /** No pod of an earlier release is taken over, however equal. */
  readonly newPods: boolean;
};

export type PodSight = { readonly status: PodStatus; readonly sinceMs: number };

export type PodView = {
  readonly id: PodId;
  readonly name: string;
  readonly release: ReleaseId;
  readonly node: NodeId;
  readonly wanted: "run" | "gone";
  readonly createdAtMs: number;
  readonly fingerprint: string;
  /** Of its text, as its node is told it. */
  readonly textBytes: number;
  readonly seen: PodSight | undefined;
};

/** A pod of any app that is wanted on a node, or still seen there, and not over. */
export type Tenant = {
  /** Undefined for one that this pass has placed. */
  readonly pod: PodId | undefined;
  readonly demands: Demands;
};

export type NodeView = {
  readonly id: NodeId;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** What a `runtimeClassName` may name there. */
  readonly handlers: readonly string[];
  readonly cordoned: boolean;
  /** When its agent last reported, ms since the epoch; 0 for never. */
  readonly seenAtMs: number;
  readonly allocatable: Amounts;
  readonly tenants: readonly Tenant[];
  /** What all of its tenants ask for. */
  readonly used: Amounts;
  /** How much it is told. */
  readonly wish: WishSize;
};

export type World = {
  readonly nowMs: number;
  readonly appDeleted: boolean;
  /** The app's releases that are built, rolling or live. */
  readonly releases: readonly ReleaseView[];
  /** The app's pods that are wanted, or gone and still seen. */
  readonly pods: readonly PodView[];
  readonly nodes: readonly NodeView[];
  /** The named volumes that there are, with the node that holds each: undefined before its first pod. */
  readonly volumes: ReadonlyMap<string, NodeId | undefined>;
};

/** What decides about a place beside the pod itself. */
export type Surroundings = Pick<World, "nowMs" | "nodes" | "volumes">;
