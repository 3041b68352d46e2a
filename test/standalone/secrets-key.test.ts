import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseKeyFile } from "../../api/materials/secrets-door.ts";
import { ensureSecretsKey } from "../../standalone/secrets-key.ts";

async function aFolder() {
  const path = await mkdtemp(join(tmpdir(), "waybill-key-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

test("the key for secrets is made once, read by its owner only, and is one that the api takes", async () => {
  await using folder = await aFolder();
  const path = join(folder.path, "secrets.key");

  await ensureSecretsKey(path);
  const first = await readFile(path, "utf8");
  await ensureSecretsKey(path);

  expect(await readFile(path, "utf8")).toBe(first);
  expect((await stat(path)).mode & 0o777).toBe(0o400);
  expect(parseKeyFile(first)).toHaveLength(1);
  expect(await readdir(folder.path)).toEqual(["secrets.key"]);
});

test("no two installations have the same key, or the same name for it", async () => {
  await using folder = await aFolder();
  const lines = [];
  for (const name of ["a", "b"]) {
    await ensureSecretsKey(join(folder.path, name));
    lines.push(await readFile(join(folder.path, name), "utf8"));
  }

  const [one, two] = lines.flatMap((line) => parseKeyFile(line));
  expect(one?.kid).not.toBe(two?.kid);
  expect(one?.bytes).not.toEqual(two?.bytes);
});

test("what a crash left half written is made anew", async () => {
  await using folder = await aFolder();
  const path = join(folder.path, "secrets.key");
  await writeFile(`${path}.unfinished`, "k1:", { mode: 0o400 });

  await ensureSecretsKey(path);

  expect(parseKeyFile(await readFile(path, "utf8"))).toHaveLength(1);
});
