import { backoffMs } from "../kit/backoff.ts";

/** What is known of one watched part between two looks. */
export type Watched = {
  readonly startedAtMs: number;
  /** Deaths in a row, each before a minute of life. */
  readonly deaths: number;
  /** When to start it again; undefined while it lives. */
  readonly retryAtMs: number | undefined;
};

export type Look = {
  readonly next: Watched;
  readonly act: "nothing" | "say-it-died" | "start";
};

/** Questions in a row that a part may leave without any answer before it counts as hanging. */
const SILENCES = 6;

/** How often in a row a part has not answered, this time included, and whether that is enough to end it. Pure. */
export function hear(
  silences: number,
  answered: boolean,
): { readonly silences: number; readonly hangs: boolean } {
  if (answered) return { silences: 0, hangs: false };
  const hangs = silences + 1 >= SILENCES;
  return { silences: hangs ? 0 : silences + 1, hangs };
}

const LIMITS = { minMs: 1_000, maxMs: 30_000 };
const HEALTHY_AFTER_MS = 60_000;

/** What to do about a part that is alive or not at `nowMs`. Pure. */
export function look(watched: Watched, alive: boolean, nowMs: number): Look {
  if (alive) return { next: watched, act: "nothing" };
  if (watched.retryAtMs === undefined) {
    const lasted = nowMs - watched.startedAtMs >= HEALTHY_AFTER_MS;
    const deaths = lasted ? 1 : watched.deaths + 1;
    const retryAtMs = nowMs + backoffMs(deaths - 1, LIMITS);
    return { next: { ...watched, deaths, retryAtMs }, act: "say-it-died" };
  }
  if (nowMs < watched.retryAtMs) return { next: watched, act: "nothing" };
  return { next: { ...watched, startedAtMs: nowMs, retryAtMs: undefined }, act: "start" };
}
