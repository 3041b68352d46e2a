import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Ingress } from "../visit.ts";

/** Where requests go to: an ingress, and whom they ask for there. */
export type Target = Ingress & {
  /** The Host header. */
  readonly host: string;
  readonly path?: string;
  /** A POST of so many bytes to what tells how many it got (`TELLS_SIZE` of an-app.ts); else a GET. */
  readonly bytes?: number;
};

export type LoadPlan = {
  readonly to: readonly Target[];
  /** To each of them, all in turn and evenly, whether the ones before are answered or not. */
  readonly perSecond: number;
  /** Connections are used again, as between servers; else each request makes its own, as curl does. */
  readonly keepAlive?: boolean;
};

export type Failure = {
  /** When it was sent and when it failed, in milliseconds since 1970. */
  readonly sentAtMs: number;
  readonly failedAtMs: number;
  /** "web.localhost at 172.20.1.11:8080" */
  readonly to: string;
  /** Another status than 200 with the beginning of its text, a body that came incomplete, or how the connection broke. */
  readonly why: string;
};

export type LoadReport = {
  readonly sent: number;
  readonly answered: number;
  readonly failed: number;
  /** The first of them, to look at. */
  readonly failures: readonly Failure[];
  /** How often which text was answered: who answers, where each pod answers its name. */
  readonly answers: Readonly<Record<string, number>>;
  /** Of those that were answered, from sending to the last byte. */
  readonly tookMs: { readonly p50: number; readonly p99: number; readonly longest: number };
};

export type LoadOrder =
  | { readonly do: "start"; readonly plan: LoadPlan }
  | { readonly do: "tell" | "lap" | "stop" };
export type LoadAnswer = { readonly to: LoadOrder["do"]; readonly report: LoadReport };

export type Load = AsyncDisposable & {
  soFar(): Promise<LoadReport>;
  /** Tells what came since the last lap, or the start, and counts anew; what is under way counts later. */
  lap(): Promise<LoadReport>;
  /** Sends no more, waits for what is on its way, and tells all. */
  stop(): Promise<LoadReport>;
};

/** Requests from a process of their own, which sends on while a test is busy. */
export async function aLoad(plan: LoadPlan): Promise<Load> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "load-process.ts")], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  await once(child, "spawn");
  const ended = once(child, "exit").then(([code]): never => {
    throw new Error(`the load's process ended with code ${code}`);
  });
  // Nobody may be asking when it ends.
  ended.catch(() => undefined);
  const ask = async (order: LoadOrder): Promise<LoadReport> => {
    child.send(order);
    for (;;) {
      const [told] = (await Promise.race([once(child, "message"), ended])) as [LoadAnswer];
      if (told.to === order.do) return told.report;
    }
  };
  await ask({ do: "start", plan });
  return {
    soFar: () => ask({ do: "tell" }),
    lap: () => ask({ do: "lap" }),
    stop: () => ask({ do: "stop" }),
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGKILL");
      await ended.catch(() => undefined);
    },
  };
}
