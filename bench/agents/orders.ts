/*
 * What the bench tells the processes that play agents, and what each of them answers to every order.
 * All times are ms by the machine's monotonic clock, which is the same in all processes.
 */

export type PlayedAgent = {
  readonly session: string;
  readonly token: string;
  /** A NodeReport about generation 0. */
  readonly report: object;
};

export type Order =
  | { readonly do: "be"; readonly agents: readonly PlayedAgent[]; readonly from: string }
  /** Each holds a long poll from now on, and asks again whenever it ends. */
  | { readonly do: "poll"; readonly port: number }
  /** Ends every poll, and makes no new call; what each was told is forgotten. */
  | { readonly do: "stop" }
  /** Reports of each agent every 10 s, or none. */
  | { readonly do: "beat"; readonly on: boolean }
  /** Counts from here. */
  | { readonly do: "mark" }
  | { readonly do: "count" }
  /** The same, and when each of them was told. */
  | { readonly do: "times" };

export type Count = {
  /** Polls that were sent and are not answered. */
  readonly held: number;
  /** Since the last mark: how many agents were told something new, and how many reported. */
  readonly told: number;
  readonly reported: number;
  /** Since the last mark: calls that came to nothing, by what came instead. */
  readonly failures: Readonly<Record<string, number>>;
  /** When each agent was told for the first time, and its first report was taken; only where asked for. */
  readonly toldAtMs?: readonly number[];
  readonly reportedAtMs?: readonly number[];
};

export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
