import { expect, test } from "vitest";
import { shareWork } from "../../../worker/build/shared-work.ts";

const never = new AbortController().signal;
const quiet = async () => undefined;

test("work that many ask for is done once, and each of them hears how it goes", async () => {
  let times = 0;
  const gate = Promise.withResolvers<void>();
  const work = shareWork(async (tell) => {
    times += 1;
    await gate.promise;
    tell("half done");
    return "made";
  });
  const heard: string[] = [];

  const both = [
    work(async (message) => void heard.push(`a: ${message}`), never),
    work(async (message) => void heard.push(`b: ${message}`), never),
  ];
  gate.resolve();

  expect(await Promise.all(both)).toEqual(["made", "made"]);
  expect(times).toBe(1);
  expect(heard).toEqual(["a: half done", "b: half done"]);
});

test("one who leaves does not stop the work for the others; the last one does", async () => {
  let stopped = false;
  const work = shareWork(
    (_tell, signal) =>
      new Promise<string>((_resolve, reject) => {
        signal.addEventListener("abort", () => {
          stopped = true;
          reject(new Error("aborted"));
        });
      }),
  );
  const [first, second] = [new AbortController(), new AbortController()];
  const outcomes = Promise.allSettled([work(quiet, first.signal), work(quiet, second.signal)]);

  first.abort(new Error("first left"));
  await Promise.resolve();
  const stoppedByFirst = stopped;
  second.abort(new Error("second left"));

  expect(await outcomes).toMatchObject([
    { reason: { message: "first left" } },
    { reason: { message: "second left" } },
  ]);
  expect([stoppedByFirst, stopped]).toEqual([false, true]);
});

test("who cannot record progress fails alone", async () => {
  const gate = Promise.withResolvers<void>();
  const work = shareWork(async (tell) => {
    await Promise.resolve();
    tell("begun");
    await gate.promise;
    return "made";
  });
  const broken = work(() => Promise.reject(new Error("no database")), never);
  const fine = work(quiet, never);

  await expect(broken).rejects.toThrow("no database");
  gate.resolve();
  expect(await fine).toBe("made");
});

test("work that failed is tried again by the next one who asks", async () => {
  let times = 0;
  const work = shareWork(async () => {
    times += 1;
    if (times === 1) throw new Error("no network");
    return "made";
  });

  await expect(work(quiet, never)).rejects.toThrow("no network");
  expect(await work(quiet, never)).toBe("made");
});
