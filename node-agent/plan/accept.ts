import type { NodeId } from "../../contract/ids.ts";
import type { DesiredState } from "../../contract/node/protocol.ts";
import { withKept } from "./kept.ts";

export type Accepted = "taken" | "same" | "older" | "foreign";

export type Acceptance = {
  readonly verdict: Accepted;
  /** What is the wish from now on, where that is another than before. */
  readonly keep: DesiredState | undefined;
};

/**
 * What becomes of the wish that a node holds when `state` reaches the agent of `node`. Never a lower
 * generation; a node that joined anew has a new id, and its wish starts over. Pure.
 *
 * Generation 0 is what joining gives: nobody has planned for this node yet. A control plane that lost
 * its database says so too, and what an earlier one asked for stays the wish until somebody decides.
 */
export function accept(
  state: DesiredState,
  current: DesiredState | undefined,
  node: NodeId,
): Acceptance {
  const verdict = judge(state, current, node);
  if (verdict === "taken") return { verdict, keep: taken(state, current) };
  return { verdict, keep: verdict === "same" && current ? toldAnew(state, current) : undefined };
}

function taken(state: DesiredState, current: DesiredState | undefined): DesiredState {
  if (!isPlanned(state)) return goingOn(state, current);
  const { keepPods } = state;
  return keepPods && current ? withKept(state, current, keepPods) : state;
}

/** Whether somebody has decided what this node runs. */
export function isPlanned({ generation }: DesiredState): boolean {
  return generation > 0;
}

function judge(state: DesiredState, current: DesiredState | undefined, node: NodeId): Accepted {
  if (state.node !== node) return "foreign";
  if (current?.node !== node) return "taken";
  const news = state.generation - current.generation || state.routing - current.routing;
  if (news === 0) return "same";
  return news < 0 ? "older" : "taken";
}

/**
 * The same wish with what this agent is told of it by now: secrets that are sealed for a newer key of this
 * node, and the ingress key, which an earlier agent was not told. Undefined where there is nothing of that.
 */
function toldAnew(state: DesiredState, current: DesiredState): DesiredState | undefined {
  const secrets = isSealedAnew(state, current) ? state.secrets : current.secrets;
  const ingressKey = state.ingressKey ?? current.ingressKey;
  const isNews = secrets !== current.secrets || ingressKey !== current.ingressKey;
  return isNews ? { ...current, secrets, ingressKey } : undefined;
}

function isSealedAnew(state: DesiredState, current: DesiredState): boolean {
  const names = (secrets: DesiredState["secrets"]) =>
    JSON.stringify(secrets.map((it) => `${it.project}/${it.name}`).sort());
  const boxes = (secrets: DesiredState["secrets"]) => secrets.map((it) => it.sealed).join();
  return (
    names(state.secrets) === names(current.secrets) &&
    boxes(state.secrets) !== boxes(current.secrets)
  );
}

/** What ran here goes on, with its routes; a node where nothing did passes requests on to the others. */
function goingOn(empty: DesiredState, last: DesiredState | undefined): DesiredState {
  const { node, generation, routing, mark, routingMark } = empty;
  const ingressKey = empty.ingressKey ?? last?.ingressKey;
  const numbers = { generation, routing, mark, routingMark };
  return last && last.pods.length > 0
    ? { ...last, node, ...numbers, ingressKey, purgeVolumes: [] }
    : empty;
}
