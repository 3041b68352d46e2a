import type { webcrypto } from "node:crypto";
import { expect, test } from "vitest";
import { causeChain } from "../../kit/log.ts";
import { sealTo } from "../../kit/sealed-box.ts";
import { openMaterials } from "../../node-agent/disk/materials.ts";
import { aPod } from "../support/pods.ts";

async function aKeyPair() {
  const pair = (await crypto.subtle.generateKey("X25519", true, [
    "deriveBits",
  ])) as webcrypto.CryptoKeyPair;
  const publicKey = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  return { privateKey: pair.privateKey, publicKey };
}

async function aSecret(publicKey: Uint8Array, project: string, name: string, bound = name) {
  const plain = Buffer.from(JSON.stringify({ password: Buffer.from("s3cret").toString("base64") }));
  const sealed = await sealTo(publicKey, plain, `${project}/${bound}`);
  return { project, name, sealed: Buffer.from(sealed).toString("base64") };
}

const pod = aPod({
  labels: { "waybill.dev/project": "team" },
  container: {
    env: [{ name: "A", valueFrom: { secretKeyRef: { name: "db.v1", key: "password" } } }],
  },
  spec: {
    volumes: [
      { name: "settings", configMap: { name: "settings.v4" } },
      { name: "gone", secret: { secretName: "gone.v1", optional: true } },
    ],
  },
});

test("a pod is given what it names of its own project, opened, and nothing else", async () => {
  const key = await aKeyPair();
  const configMap = (project: string, name: string) => ({
    project,
    name,
    data: { text: "héllo" },
    binary: { bytes: "AAEC" },
  });
  const wish = {
    configMaps: [
      configMap("team", "settings.v4"),
      configMap("team", "settings.v5"),
      configMap("other", "settings.v4"),
    ],
    secrets: [
      await aSecret(key.publicKey, "team", "db.v1"),
      await aSecret(key.publicKey, "team", "db.v2"),
      await aSecret(key.publicKey, "other", "db.v1"),
    ],
  };

  const { secrets, configMaps } = await openMaterials(
    () => wish,
    () => key,
  )(pod);

  const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString("utf8");
  expect([...secrets.keys()]).toEqual(["db.v1"]);
  expect(text(secrets.get("db.v1")?.get("password"))).toBe("s3cret");
  expect([...configMaps.keys()]).toEqual(["settings.v4"]);
  expect(text(configMaps.get("settings.v4")?.get("text"))).toBe("héllo");
  expect([...(configMaps.get("settings.v4")?.get("bytes") ?? [])]).toEqual([0, 1, 2]);
});

test("a secret for another node, or moved under another name, does not open, and none of it is told", async () => {
  const [key, another] = [await aKeyPair(), await aKeyPair()];
  const forAnother = await aSecret(another.publicKey, "team", "db.v1");
  const moved = await aSecret(key.publicKey, "team", "db.v1", "admin.v1");

  for (const secret of [forAnother, moved]) {
    const opening = openMaterials(
      () => ({ configMaps: [], secrets: [secret] }),
      () => key,
    )(pod);
    await expect(opening).rejects.toMatchObject({
      reason: "CreateContainerConfigError",
      message: 'the secret "db.v1" was sealed for another key than this node\'s',
    });
  }
});

test.each(["hunter2-hunter2", '{"password": "hunter2', '{"password": 1234567}', "[]"])(
  "of what was sealed and is no secret, %j, nothing is told, to no log either",
  async (plain) => {
    const key = await aKeyPair();
    const sealed = await sealTo(key.publicKey, Buffer.from(plain), "team/db.v1");
    const secret = {
      project: "team",
      name: "db.v1",
      sealed: Buffer.from(sealed).toString("base64"),
    };

    const error: unknown = await openMaterials(
      () => ({ configMaps: [], secrets: [secret] }),
      () => key,
    )(pod).catch((it: unknown) => it);

    expect(causeChain(error)[0]).toContain('what was sealed as the secret "db.v1" is no secret');
    expect(causeChain(error).join()).not.toMatch(/hunter2|1234567/);
  },
);

test("where no wish is known, nothing is there, and nothing fails", async () => {
  const key = await aKeyPair();

  const { secrets, configMaps } = await openMaterials(
    () => undefined,
    () => key,
  )(pod);

  expect([secrets.size, configMaps.size]).toEqual([0, 0]);
});
