import type { NodeId, PodId, ReleaseId } from "../../contract/ids.ts";
import type { PodStatus } from "../../contract/node/protocol.ts";
import type { Labels } from "../../contract/placement/demands.ts";
import type { Asked, Surroundings } from "../../contract/placement/node-view.ts";
import type { Pod } from "../../contract/pod/pod.ts";
import type { Source } from "./pod.ts";

export type RollingPhase = "built" | "rolling" | "live";

export type ReleaseView = Asked & {
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
  /** Whether its pods go if it fails; else they are held: see held.ts. */
  readonly autoRevert: boolean;
  /** For how long a pod of it has to be ready before that proves anything, in ms. */
  readonly settleMs: number;
  /** How long its pods may take to end, in ms. */
  readonly graceMs: number;
  /** What its pods are, but for labels and annotations: a pod of the same text need not be made anew. */
  readonly fingerprint: string;
  /** No pod of an earlier release is taken over, however equal. */
  readonly newPods: boolean;
  /** No two of its kind may run while one takes the other's place: see strategy.ts. */
  readonly exclusive: boolean;
  /** Why no pod of it can be made any more, where its spec is from before a rule that it breaks. */
  readonly refused: string | undefined;
};

export type PodSight = { readonly status: PodStatus; readonly sinceMs: number };

export type PodView = {
  readonly id: PodId;
  readonly name: string;
  readonly release: ReleaseId;
  readonly node: NodeId;
  readonly wanted: "run" | "gone";
  readonly createdAtMs: number;
  /** Since when it is to leave, ms since the epoch; undefined while it is wanted. */
  readonly goneAtMs: number | undefined;
  /** As of a release. */
  readonly graceMs: number;
  readonly fingerprint: string;
  /** Of its text, as its node is told it. */
  readonly textBytes: number;
  /** What was asked of its node when it was placed, or taken over. */
  readonly nodeSelector: Labels;
  /** As of a release: while it may run, no other pod of its app is started. */
  readonly exclusive: boolean;
  readonly seen: PodSight | undefined;
};

export type World = Surroundings & {
  readonly appDeleted: boolean;
  /** The app's releases that are built, rolling or live. */
  readonly releases: readonly ReleaseView[];
  /** The newest release that was built, where it failed and its pods are to stay: see held.ts. */
  readonly held: ReleaseId | undefined;
  /** The app's pods that are wanted, or gone and not known to have ended. */
  readonly pods: readonly PodView[];
  /** Nodes not heard of for so long that what ran there should run elsewhere: see nodes/plan.ts. */
  readonly lost: ReadonlySet<NodeId>;
};
