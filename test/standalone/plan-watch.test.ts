import { expect, test } from "vitest";
import { hear, look, type Watched } from "../../standalone/watch-plan.ts";

const born: Watched = { startedAtMs: 0, deaths: 0, retryAtMs: undefined };

test("a living part is left alone", () => {
  expect(look(born, true, 10_000)).toEqual({ next: born, act: "nothing" });
});

test("a part that keeps dying is started after 1, 2, 4, ... and at most 30 seconds", () => {
  const waits = [];
  let watched = born;
  let nowMs = 0;
  for (let death = 0; death < 7; death++) {
    const died = look(watched, false, nowMs);
    expect(died.act).toBe("say-it-died");
    const retryAtMs = died.next.retryAtMs ?? 0;
    waits.push(retryAtMs - nowMs);
    expect(look(died.next, false, retryAtMs - 1).act).toBe("nothing");
    const again = look(died.next, false, retryAtMs);
    expect(again.act).toBe("start");
    watched = again.next;
    nowMs = retryAtMs;
  }

  expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
});

test("a minute of life makes a part's earlier deaths forgotten", () => {
  const unlucky: Watched = { startedAtMs: 0, deaths: 6, retryAtMs: undefined };

  expect(look(unlucky, false, 59_000).next.retryAtMs).toBe(59_000 + 30_000);
  expect(look(unlucky, false, 60_000).next.retryAtMs).toBe(60_000 + 1_000);
});

test("a part hangs when it leaves six questions in a row, and one answer begins the count anew", () => {
  const ask = (answers: readonly boolean[]) => {
    let silences = 0;
    return answers.map((answered) => {
      const heard = hear(silences, answered);
      silences = heard.silences;
      return heard.hangs;
    });
  };

  expect(ask([false, false, false, false, false, true])).not.toContain(true);
  expect(ask([false, true, false, false, false, false, false])).not.toContain(true);
  expect(ask([false, false, false, false, false, false, false]).indexOf(true)).toBe(5);
});
