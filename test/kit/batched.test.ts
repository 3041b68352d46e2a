import { expect, test } from "vitest";
import { batched } from "../../kit/batched.ts";

/** Answers each question with its double, a batch whenever it is let; and which batches there were. */
function doubling(
  limits: { atMost: number; atOnce: number },
  answersOf = (count: number) => count,
) {
  const batches: (readonly number[])[] = [];
  const gates: (() => void)[] = [];
  const ask = batched<number, number>({ everyMs: 0, ...limits }, async (questions) => {
    batches.push(questions);
    await new Promise<void>((resolve) => gates.push(resolve));
    return questions.slice(0, answersOf(questions.length)).map((it) => it * 2);
  });
  /** Lets batches go until all of these are answered. */
  const all = async (asked: readonly Promise<number>[]) => {
    let open = true;
    const answers = Promise.allSettled(asked).finally(() => {
      open = false;
    });
    while (open) {
      gates.shift()?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
    return await answers;
  };
  return { ask, all, batches };
}

const values = (settled: readonly PromiseSettledResult<number>[]) =>
  settled.map((it) => (it.status === "fulfilled" ? it.value : String(it.reason)));

test("who asks in one moment is answered together, and who comes later by a later batch", async () => {
  const { ask, all, batches } = doubling({ atMost: 10, atOnce: 1 });

  const first = [ask(1), ask(2)];
  await Promise.resolve();
  const later = [ask(3), ask(4)];

  expect(values(await all([...first, ...later]))).toEqual([2, 4, 6, 8]);
  expect(batches).toEqual([
    [1, 2],
    [3, 4],
  ]);
});

test("a batch holds no more than it may, and no more are under way than may be", async () => {
  const { ask, all, batches } = doubling({ atMost: 2, atOnce: 2 });

  const asked = [1, 2, 3, 4, 5].map(ask);
  await new Promise((resolve) => setImmediate(resolve));
  const atFirst = batches.length;

  expect(values(await all(asked))).toEqual([2, 4, 6, 8, 10]);
  expect(atFirst).toBe(2);
  expect(batches).toEqual([[1, 2], [3, 4], [5]]);
});

test("what a batch leaves unanswered is asked again, before what came later", async () => {
  const { ask, all, batches } = doubling({ atMost: 2, atOnce: 1 }, () => 1);

  expect(values(await all([1, 2, 3].map(ask)))).toEqual([2, 4, 6]);
  expect(batches).toEqual([[1, 2], [2, 3], [3]]);
});

test("a batch that fails is told to its own, and the next one goes on", async () => {
  let fails = true;
  const ask = batched<number, number>({ atMost: 2, atOnce: 1, everyMs: 0 }, async (questions) => {
    if (!fails) return questions;
    fails = false;
    throw new Error("gone");
  });

  expect(values(await Promise.allSettled([1, 2, 3].map(ask)))).toEqual([
    "Error: gone",
    "Error: gone",
    3,
  ]);
});

test("a batch that answers nobody is a failure, and no endless loop", async () => {
  const ask = batched<number, number>({ atMost: 2, atOnce: 1, everyMs: 0 }, async () => []);

  await expect(ask(1)).rejects.toThrow("none of 1 questions was answered");
});

test("a batch that is not full comes no sooner than it may after the one before, a full one at once", async () => {
  const startedAtMs: number[] = [];
  const limits = { atMost: 2, atOnce: 1, everyMs: 50 };
  const ask = batched<number, number>(limits, async (questions) => {
    startedAtMs.push(performance.now());
    return questions;
  });

  await Promise.all([ask(1), ask(2), ask(3), ask(4), ask(5)]);

  const [first = 0, second = 0, third = 0] = startedAtMs;
  expect(startedAtMs).toHaveLength(3);
  expect(third - second).toBeGreaterThanOrEqual(49);
  expect(second - first).toBeLessThan(third - second);
});
