import type { NodeId, PodId } from "../ids.ts";
import { HOSTNAME_LABEL } from "../pod/pod.ts";
import type { Amounts } from "../pod/requests.ts";
import type { Demands } from "./demands.ts";
import type { WishPart, WishSize } from "./wish.ts";

/* What decides where a pod may run: asked by the worker, which places pods, and by the api, which says why. */

/** What each pod of a release asks of a node, and adds to what its node is told. */
export type Asked = {
  readonly demands: Demands;
  readonly wish: WishPart;
  /** The label of nodes over whose values the release's pods are spread. */
  readonly spreadBy: string;
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
  /** Cordoned, and its pods are to stand elsewhere. */
  readonly draining: boolean;
  /** A person's word that the host is off: what was there does not run. */
  readonly fenced: boolean;
  /**
   * "ahead": it holds what this database never made, and does as that says. "strangers": it has pods that
   * nobody here knows, and a wish that ends them. Until then something may run there that must not run twice.
   */
  readonly astray: "ahead" | "strangers" | undefined;
  /** When its agent last reported, ms since the epoch; 0 for never. */
  readonly seenAtMs: number;
  /** What its agent speaks: see contract/node/skew.ts. */
  readonly protocol: number;
  readonly allocatable: Amounts;
  readonly tenants: readonly Tenant[];
  /** What all of its tenants ask for. */
  readonly used: Amounts;
  /** How much it is told. */
  readonly wish: WishSize;
};

/** The node's value of a label; every node has its name and its system as labels, too. */
export function labelOf({ name, labels }: NodeView, key: string): string | undefined {
  if (key === HOSTNAME_LABEL) return name;
  if (Object.hasOwn(labels, key)) return labels[key];
  return key === "kubernetes.io/os" ? "linux" : undefined;
}

const byId = new WeakMap<readonly NodeView[], ReadonlyMap<NodeId, NodeView>>();

/** The node with this id, of nodes that are asked for many times: they are gone through once. */
export function nodeOf(nodes: readonly NodeView[], id: NodeId): NodeView | undefined {
  const known = byId.get(nodes) ?? new Map(nodes.map((it) => [it.id, it]));
  byId.set(nodes, known);
  return known.get(id);
}

/** What decides about a place beside the pod itself. */
export type Surroundings = {
  readonly nowMs: number;
  readonly nodes: readonly NodeView[];
  /** The named volumes that there are, with the node that holds each: undefined before its first pod. */
  readonly volumes: ReadonlyMap<string, NodeId | undefined>;
};
