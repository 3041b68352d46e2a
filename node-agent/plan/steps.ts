import type { PodId } from "../../contract/ids.ts";
import type { Container, Pod } from "../../contract/pod/pod.ts";
import type { PodOutcome } from "../disk/outcomes.ts";
import type { SeenSandbox } from "../observe.ts";
import type { ContainerKind } from "./kinds.ts";

/** A container to be running, with its postStart hook done: an `existing` one or a new one. */
export type ContainerStart = {
  readonly container: Container;
  readonly kind: ContainerKind;
  /** Was made before and never started, or runs and may have missed its hook. */
  readonly existing: { readonly id: string; readonly runs: boolean } | undefined;
  /** Counts the starts of this name in the pod, over all its sandboxes, from 0. */
  readonly attempt: number;
  readonly restarts: number;
  /** Crashes in a row before this start. */
  readonly crashes: number;
};

type Steps = {
  /**
   * Brings the pod up from where it stands: images, sandbox (`undefined` is a new one), containers in
   * the order of `starts`, each with its postStart hook. Where the pod may come to an end, the last of
   * the `dead` sandboxes is noted as given up; whatever still runs in them is ended and their addresses
   * are given back; their rows stay, since they hold the counts.
   */
  readonly "start-pod": {
    readonly pod: Pod;
    readonly fingerprint: string;
    readonly sandbox: string | undefined;
    /** Of the sandbox; a new one counts on from the last. */
    readonly attempt: number;
    /** Sandboxes of this pod that died in a row before this one. */
    readonly deaths: number;
    readonly dead: readonly SeenSandbox[];
    readonly starts: readonly ContainerStart[];
  };
  /**
   * Takes these sandboxes away, with all in them: main containers, then sidecars from the last to the
   * first, each with its preStop hook, SIGTERM, the rest of the grace, SIGKILL. `whole` when nothing of
   * the pod is to stay. What a pod was told comes from `SeenSandbox.spec`: its wish is gone.
   */
  readonly "remove-sandboxes": {
    readonly sandboxes: readonly SeenSandbox[];
    readonly whole: boolean;
    readonly because: "unwanted" | "changed" | "dead" | "surplus";
  };
  /** Ends one container, with its preStop hook; its restart is a later pass's. */
  readonly "stop-container": {
    readonly container: string;
    readonly name: string;
    readonly spec: Container;
    /** The pod's address, for a hook that asks it. */
    readonly ip: string | undefined;
    readonly graceSeconds: number;
    /** An unknown state is one that the runtime itself lost: Kubernetes ends such a container, too. */
    readonly because: "startup-probe-failed" | "liveness-probe-failed" | "state-unknown";
  };
  /**
   * The pod is over: the outcome is written durably, what still runs (sidecars, from the last to the
   * first) is stopped, then volumes, group and last of all the sandboxes go; the logs stay.
   */
  readonly "end-pod": {
    readonly outcome: PodOutcome;
    readonly sandboxes: readonly SeenSandbox[];
  };
  /** Ended containers of which nobody will ask any more. */
  readonly "remove-containers": { readonly containers: readonly string[] };
};

/** One action on one pod. A pod never has two under way. */
export type Step<Do extends keyof Steps = keyof Steps> = {
  [D in Do]: { readonly do: D; readonly uid: PodId } & Steps[D];
}[Do];
