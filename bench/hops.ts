import type { Installation } from "../test/support/installation.ts";
import { median } from "./pairs.ts";

type Event = { readonly at: string; readonly type: string };
export type Hops = Readonly<Record<string, number>>;

export async function eventsOf(
  waybill: Installation,
  release: number,
): Promise<{ events: Event[] }> {
  const { body } = await waybill.call("GET", `/v1/apps/shop/events?release=${release}`);
  return body as { events: Event[] };
}

export function at(events: readonly Event[], type: string): number {
  const event = events.find((it) => it.type === type);
  if (!event)
    throw new Error(`there is no event ${type}: ${events.map((it) => it.type).join(", ")}`);
  return Date.parse(event.at);
}

/** When the container of the live release's one pod was started, by the runtime's own clock. */
export async function startedAtMs(waybill: Installation): Promise<number> {
  const { body } = await waybill.call("GET", "/v1/apps/shop");
  const pods = body.pods as { release: number; containers: { startedAt?: string }[] }[];
  return Date.parse(pods.find((it) => it.release === body.live)?.containers[0]?.startedAt ?? "");
}

const HOPS = ["release-created", "build-started", "build-finished", "pod-placed"];

export async function hopsOf(
  waybill: Installation,
  startedMs: number,
  servedMs: number,
): Promise<Hops> {
  const { body } = await waybill.call("GET", "/v1/apps/shop");
  const { events } = await eventsOf(waybill, Number(body.live));
  const decided = HOPS.map((type) => at(events, type));
  const running = [await startedAtMs(waybill), at(events, "release-live")];
  const times = [startedMs, ...decided, ...running, servedMs];
  const names = [
    "upload",
    "relay to the worker",
    "build",
    "schedule",
    "agent and CRI",
    "Tomcat until ready",
    "answer and first 200",
  ];
  return Object.fromEntries(
    names.map((name, index) => [name, (times[index + 1] ?? 0) - (times[index] ?? 0)]),
  );
}

export function printHops(hops: readonly Hops[]): void {
  console.log("\n   where the time goes, median ms:");
  const names = Object.keys(hops[0] ?? {});
  console.table(
    Object.fromEntries(
      names.map((name) => [name, { ms: Math.round(median(hops.map((it) => it[name] ?? 0))) }]),
    ),
  );
}
