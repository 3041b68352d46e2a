import type { NodeId, PodId } from "../../contract/ids.ts";
import {
  DesiredState,
  HELD_HEADER,
  heldText,
  type PodStatus,
  wishTag,
} from "../../contract/node/protocol.ts";
import { accept } from "../../node-agent/plan/accept.ts";
import { aStatus } from "../worker/schedule/world.ts";
import type { Answer, TestApi } from "./api.ts";
import { aReport } from "./declared.ts";
import { joined } from "./joined.ts";

/** What an agent says and keeps, without a host: all that its wish names runs there and is ready. */
export type HoldingAgent = {
  readonly node: NodeId;
  readonly name: string;
  readonly ledger: () => DesiredState | undefined;
  /** Asks once for another wish than the one that it holds. */
  ask(): Promise<Answer>;
  /** With a key of its own: all that was sealed for the one before is to be told again. */
  joinAnew(): Promise<void>;
  /** Tells what runs, and beside that what still ends; all is ready but what `unready` names. */
  report(ending?: readonly PodStatus[], unready?: RegExp): Promise<void>;
  /** Asks, and tells what came of it. */
  turn(): Promise<void>;
  /** The names of the pods that its wish asks for. */
  runs(): readonly string[];
};

export async function holdingAgent(api: TestApi, name: string): Promise<HoldingAgent> {
  let { node, token } = await joined(api, name);
  let isSealedForUs = true;
  let ledger: DesiredState | undefined;

  async function ask(): Promise<Answer> {
    const headers = ledger && {
      [HELD_HEADER]: heldText(ledger),
      ...(isSealedForUs && { "if-none-match": wishTag(ledger) }),
    };
    const path = "/v1/node/desired?waitMs=0";
    const answer = await api.ask(path, { token, ...(headers && { headers }) });
    if (answer.status !== 200) return answer;
    const { keep } = accept(DesiredState.parse(answer.body), ledger, node);
    ledger = keep ?? ledger;
    return answer;
  }

  async function report(ending: readonly PodStatus[] = [], unready = /^$/): Promise<void> {
    const running = (ledger?.pods ?? []).map(({ metadata }) => ({
      ...aStatus(metadata.uid as PodId, { ready: !unready.test(metadata.name) }),
      name: metadata.name,
    }));
    const mark = ledger?.mark === undefined ? {} : { observedMark: ledger.mark };
    const json = { ...aReport([...running, ...ending], ledger?.generation ?? 0), ...mark };
    const answer = await api.ask("/v1/node/report", { method: "POST", token, json });
    if (answer.status !== 204) throw new Error(`the report was answered ${answer.status}`);
  }

  return {
    ...{ node, name, ask, report },
    ledger: () => ledger,
    async joinAnew() {
      ({ node, token } = await joined(api, name, new Uint8Array(32).fill(3)));
      isSealedForUs = false;
    },
    async turn() {
      await ask();
      await report();
    },
    runs: () => (ledger?.pods ?? []).map((it) => it.metadata.name),
  };
}
