import { expect, test } from "vitest";
import { execUrl, exitOf, parseExecWords, wantsHelp } from "../../standalone/exec-plan.ts";

const words = {
  app: "shop",
  container: undefined,
  pod: undefined,
  tty: false,
  stdin: false,
  command: ["sh", "-c", "ls -l"],
};

test("words before the dashes are ours, and those behind them the command's", () => {
  const command = ["--", "sh", "-c", "ls -l"];

  expect(parseExecWords(["shop", ...command])).toEqual(words);
  expect(parseExecWords(["shop", "-it", ...command])).toEqual({ ...words, tty: true, stdin: true });
  expect(parseExecWords(["-c", "db", "--pod=shop-1", "shop", "-i", ...command])).toEqual({
    ...words,
    container: "db",
    pod: "shop-1",
    stdin: true,
  });
});

test("what is missing or too much is said", () => {
  expect(parseExecWords(["--", "sh"])).toBe("which app?");
  expect(parseExecWords(["shop"])).toContain("which command?");
  expect(parseExecWords(["shop", "sh", "--", "sh"])).toContain('"sh" is too much');
  expect(parseExecWords(["shop", "--root", "--", "sh"])).toContain("--root");
  expect(parseExecWords(["shop", "-c"])).toContain("-c");
});

test("a command's own -h is the command's", () => {
  expect(wantsHelp(["shop", "--", "df", "-h"])).toBe(false);
  expect(wantsHelp(["shop", "--", "ls", "--help"])).toBe(false);
  for (const argv of [[], ["-h"], ["shop", "--help", "--", "ls"]]) {
    expect(wantsHelp(argv)).toBe(true);
  }
});

test("the address carries every word as it is", () => {
  const url = execUrl("https://waybill.example.com/", { ...words, container: "db", tty: true });

  expect(url).toBe(
    "wss://waybill.example.com/v1/apps/shop/exec?command=sh&command=-c&command=ls+-l&container=db&tty=true&stdin=false",
  );
});

test("the exit code is the command's, or one that says there is none", () => {
  const failure = (rest: object) => JSON.stringify({ status: "Failure", ...rest });

  expect(exitOf('{"status":"Success"}')).toEqual({ code: 0 });
  expect(exitOf(failure({ details: { causes: [{ reason: "ExitCode", message: "3" }] } }))).toEqual({
    code: 3,
  });
  expect(exitOf(failure({ message: "no such program" }))).toEqual({
    code: 126,
    words: "no such program",
  });
});
