import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { LOG_RATE, LogLine, MAX_LOG_LINE_BYTES } from "../../../contract/node/logs.ts";
import { aDraft, type ChunkDraft } from "../../../node-agent/logs/chunk.ts";
import { openLineMaker } from "../../../node-agent/logs/lines.ts";

const AT = "2026-11-23T09:00:00.5Z";
const frame = (text: string | Buffer, tag = "F", stream = "stdout", at = AT) =>
  Buffer.concat([Buffer.from(`${at} ${stream} ${tag} `), Buffer.from(text), Buffer.from("\n")]);
const lots = 100 * 1024 * 1024;

function made(...frames: readonly Buffer[]): ChunkDraft {
  const draft = aDraft(lots);
  openLineMaker().take(Buffer.concat(frames), draft, "waits");
  return draft;
}
const texts = (draft: ChunkDraft) => draft.lines.map((it) => it.text);

test("a line is what the container wrote, when and where", () => {
  const { lines } = made(frame("hello  world "), frame("oh", "F", "stderr"), frame(""));

  expect(lines).toEqual([
    { at: "2026-11-23T09:00:00.500000000Z", stream: "stdout", text: "hello  world " },
    { at: "2026-11-23T09:00:00.500000000Z", stream: "stderr", text: "oh" },
    { at: "2026-11-23T09:00:00.500000000Z", stream: "stdout", text: "" },
  ]);
});

test("a host that is not in UTC tells the same time", () => {
  const { lines } = made(frame("x", "F", "stdout", "2026-11-23T01:30:00.000000007+02:00"));

  expect(lines[0]?.at).toBe("2026-11-22T23:30:00.000000007Z");
});

test("parts of a line are joined, each stream's to its own, also when they come in pieces", () => {
  const bytes = Buffer.concat([
    frame("one ", "P"),
    frame("err", "F", "stderr"),
    frame("two ", "P"),
    frame("three"),
  ]);
  for (let cut = 1; cut < bytes.length; cut++) {
    const maker = openLineMaker();
    const draft = aDraft(lots);
    const first = bytes.subarray(0, cut);
    const taken = maker.take(first, draft, "waits");
    maker.take(bytes.subarray(taken), draft, "waits");
    expect(texts(draft), `cut at ${cut}`).toEqual(["err", "one two three"]);
  }
});

test("a character that two parts share stays one", () => {
  const euro = Buffer.from("€");

  expect(texts(made(frame(euro.subarray(0, 1), "P"), frame(euro.subarray(1))))).toEqual(["€"]);
});

test("a line of 10 MB is cut, not in the middle of a character, and the next one is whole", () => {
  const part = Buffer.from("ä".repeat(8_192));
  const draft = made(
    ...Array.from({ length: 640 }, () => frame(part, "P")),
    frame("end"),
    frame("next"),
  );

  const [long = "", next] = texts(draft);
  expect(Buffer.byteLength(long)).toBeLessThanOrEqual(MAX_LOG_LINE_BYTES);
  expect(long).toMatch(/^ä+…$/);
  expect(next).toBe("next");
  expect(draft.lines).toHaveLength(2);
  expect(draft.dropped).toBe(0);
});

test("a frame that no buffer holds is cut, and the next one is whole", () => {
  const maker = openLineMaker();
  const draft = aDraft(lots);
  const bytes = Buffer.concat([frame("x".repeat(200_000)), frame("next")]);
  let at = 0;
  while (at < bytes.length) {
    const piece = bytes.subarray(at, at + 64 * 1024);
    at += maker.take(piece, draft, piece.length === 64 * 1024 ? "begins" : "waits");
  }

  expect(texts(draft).map((it) => [it.length, it.at(-1)])).toEqual([
    [MAX_LOG_LINE_BYTES - 2, "…"],
    [4, "t"],
  ]);
});

test("binary becomes text that can be stored", () => {
  const noise = Buffer.from(randomBytes(4_000).filter((it) => it !== 0x0a));
  const draft = made(frame(noise), frame("a\0b"));

  expect(draft.lines.map((it) => LogLine.parse(it))).toHaveLength(2);
  for (const text of texts(draft)) {
    expect(text).not.toContain("\0");
    expect(text.isWellFormed()).toBe(true);
  }
});

test("frames that are none are passed over, and one that is being written is waited for", () => {
  const maker = openLineMaker();
  const draft = aDraft(lots);
  const bytes = Buffer.concat([
    Buffer.from("garbage\n\n x\n2026 stdout F a\n"),
    frame("a"),
    frame("b"),
  ]);

  const taken = maker.take(bytes.subarray(0, -3), draft, "waits");

  expect(texts(draft)).toEqual(["a"]);
  expect(bytes.subarray(taken).toString()).toBe(frame("b").toString());
});

test("a chunk takes no more than it has room for, and the rest goes on behind it", () => {
  const maker = openLineMaker();
  const bytes = Buffer.concat(Array.from({ length: 100 }, (_, at) => frame(`line ${at}`)));
  const all: string[] = [];
  let at = 0;
  let chunks = 0;
  while (at < bytes.length) {
    const draft = aDraft(1_000);
    at += maker.take(bytes.subarray(at), draft, "waits");
    all.push(...texts(draft));
    chunks += 1;
  }

  expect(all).toEqual(Array.from({ length: 100 }, (_, number) => `line ${number}`));
  expect(chunks).toBeGreaterThan(5);
});

test("a chunk's lines are no more than ten seconds apart", () => {
  const draft = made(frame("a"), frame("b", "F", "stdout", "2026-11-23T09:00:11Z"));

  expect(texts(draft)).toEqual(["a"]);
});

/** `seconds` of a container that writes `perSecond` lines of 100 bytes, and is read a block at a time. */
function flooded(seconds: number, perSecond: number): ChunkDraft {
  const maker = openLineMaker();
  const all = aDraft(lots);
  for (let second = 0; second < seconds; second++) {
    const at = `2026-11-23T09:00:${String(second).padStart(2, "0")}.5Z`;
    const block = Buffer.concat(
      Array.from({ length: perSecond }, () => frame("y".repeat(100), "F", "stdout", at)),
    );
    for (let from = 0; from < block.length; ) {
      const draft = aDraft(lots);
      from += maker.take(block.subarray(from, from + 64 * 1024), draft, "waits");
      all.lines.push(...draft.lines);
      all.dropped += draft.dropped;
    }
  }
  return all;
}

test("of a flood the burst and the rate are kept, and the rest is counted to the last line", () => {
  const { lines, dropped } = flooded(5, 50_000);

  const notes = lines.filter((it) => it.text.startsWith("…"));
  const kept = lines.length - notes.length;
  expect(kept + dropped).toBe(250_000);
  const bytes = kept * 140;
  expect(bytes).toBeGreaterThan(LOG_RATE.burstBytes);
  expect(bytes).toBeLessThan(1.2 * (LOG_RATE.burstBytes + 5 * LOG_RATE.bytesPerSecond));
  expect(notes).toHaveLength(4);
  expect(notes[0]?.text).toMatch(/^… \d+ lines dropped: more than 256 KiB\/s$/);
});

test("a container that says no more than the rate loses nothing, however late it is read", () => {
  const { lines, dropped } = flooded(30, 1_000);

  expect(lines).toHaveLength(30_000);
  expect(dropped).toBe(0);
});

test("bytes that are gone are counted as lines of the usual length", () => {
  const maker = openLineMaker();
  const draft = aDraft(lots);
  maker.take(
    Buffer.concat(Array.from({ length: 100 }, () => frame("x".repeat(58)))),
    draft,
    "waits",
  );

  maker.missed(90_000, draft);

  expect(draft.dropped).toBeGreaterThan(800);
  expect(draft.dropped).toBeLessThan(1_200);
});
