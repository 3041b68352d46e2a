import { expect, test } from "vitest";
import { gather } from "../../kit/gather.ts";

/** Passes that end when they are let, each with what it was asked. */
function heldPasses(most: number) {
  const passes: { readonly keys: readonly string[]; readonly end: () => void }[] = [];
  const ask = gather<string, string>({
    most,
    pass: async (keys) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      passes.push({ keys, end: resolve });
      await promise;
      return new Map(keys.filter((it) => it !== "lost").map((it) => [it, `${it}!`]));
    },
  });
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const end = async (at: number) => {
    passes[at]?.end();
    await turn();
  };
  return { ask, passes, turn, end };
}

test("what is asked for together is one pass, and what comes meanwhile is the next one, each once", async () => {
  const { ask, passes, turn, end } = heldPasses(3);

  const first = Promise.all([ask("a"), ask("b"), ask("a")]);
  await turn();
  const second = Promise.all(["a", "c", "d", "e", "a"].map(ask));
  await turn();
  expect(passes.map((it) => it.keys)).toEqual([["a", "b"]]);
  await end(0);
  await end(1);
  await end(2);

  expect(passes.map((it) => it.keys)).toEqual([["a", "b"], ["a", "c", "d"], ["e"]]);
  expect(await first).toEqual(["a!", "b!", "a!"]);
  expect(await second).toEqual(["a!", "c!", "d!", "e!", "a!"]);
});

test("a key that a pass leaves out is nobody else's loss, and a pass that throws not the next one's", async () => {
  const { ask, turn, end } = heldPasses(5);
  const asked = Promise.allSettled([ask("a"), ask("lost")]);
  await turn();
  await end(0);
  expect((await asked).map((it) => it.status)).toEqual(["fulfilled", "rejected"]);

  let passes = 0;
  const once = gather<string, string>({
    most: 5,
    pass: async (keys) => {
      passes += 1;
      if (passes === 1) throw new Error("the database is away");
      return new Map(keys.map((it) => [it, it]));
    },
  });
  await expect(once("a")).rejects.toThrow("the database is away");
  expect(await once("a")).toBe("a");
});
