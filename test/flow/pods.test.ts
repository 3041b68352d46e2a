import { existsSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DEBIAN_IMAGES_TIMEOUT_MS, debianImage, pushAsOperator } from "../support/debian-images.ts";
import { eventually } from "../support/eventually.ts";
import { anInstallation, type Installation } from "../support/installation.ts";
import { CONFIG, groupPod } from "./a-group.ts";

let waybill: Installation;

beforeAll(async () => {
  waybill = await anInstallation({ WAYBILL_HOST_PATHS: "/data,/var/lib/waybill-test-data" });
  await waybill.start();
  await pushAsOperator(waybill, await debianImage("debian"), "library/debian");
  await pushAsOperator(waybill, await debianImage("nginx"), "library/nginx");
}, DEBIAN_IMAGES_TIMEOUT_MS + 300_000);

afterAll(async () => {
  await waybill?.[Symbol.asyncDispose]();
}, 120_000);

const YAML = { headers: { "content-type": "application/yaml" } };
const WAIT = "?wait=healthy&timeout=120";
const apply = (body: string, query = WAIT) =>
  waybill.call("POST", `/v1/apply${query}`, { ...YAML, body });

test("the pod of two containers runs as it stands: what one writes, the other serves", {
  timeout: 180_000,
}, async () => {
  const document = await readFile(example("two-containers.yaml"), "utf8");
  // A folder of that name that is somebody else's is left alone.
  const folder = existsSync("/data") ? "/var/lib/waybill-test-data" : "/data";
  try {
    const answer = await apply(document.replace("path: /data", `path: ${folder}`));

    expect(answer).toMatchObject({
      status: 200,
      body: { applied: [{ app: "two-containers", release: 1, phase: "live" }] },
    });
    expect(await waybill.visit("two-containers")).toEqual({
      status: 200,
      text: "Hello from the debian container\n",
    });
    const { body } = await waybill.call("GET", "/v1/apps/two-containers");
    expect(body.pods).toMatchObject([
      {
        phase: "Running",
        ready: true,
        containers: [
          { name: "nginx-container", state: "running" },
          { name: "debian-container", state: "exited", exitCode: 0, reason: "Completed" },
        ],
      },
    ]);
  } finally {
    await waybill.call("DELETE", "/v1/apps/two-containers?wait=gone&timeout=60");
    await rm(folder, { recursive: true, force: true });
  }
});

test("a pod with mistakes is told all of them at once, and nothing changes", async () => {
  const answer = await apply(await readFile(example("helloworld.yaml"), "utf8"));

  expect(answer.status).toBe(422);
  const pointers = (answer.body.errors as { pointer: string }[]).map((it) => it.pointer);
  expect(pointers.toSorted()).toEqual([
    "/spec/containers/2/volumeMounts/0/mountPath",
    "/spec/containers/2/volumeMounts/0/name",
    "/spec/containers/3/volumeMounts/0/mountPath",
    "/spec/containers/3/volumeMounts/0/name",
  ]);
  expect((await waybill.call("GET", "/v1/apps/helloworld")).status).toBe(404);
});

test("the containers of a pod share an address, a socket, processes and volumes", {
  timeout: 180_000,
}, async () => {
  const answer = await apply(`${CONFIG}---${groupPod()}`);

  expect(answer.status).toBe(200);
  expect(answer.body).toMatchObject({
    applied: [
      { kind: "ConfigMap", name: "web-conf", version: 1 },
      { kind: "Secret", name: "web-secret", version: 1 },
      { app: "group", phase: "live" },
    ],
  });
  expect(await waybill.visit("group")).toEqual({ status: 200, text: "back says hello\n" });
  expect(await waybill.visit("group", "/socket")).toEqual({
    status: 200,
    text: "back says hello\n",
  });
  expect(await run("writer", "cat /proc/[0-9]*/comm")).toMatch(/nginx/);
  expect(await run("writer", "cat /words/order")).toBe("first\nshipper\nwriter\n");
  expect(await run("writer", 'echo "$PASSWORD $(cat /keys/password)"')).toBe(
    "canary-4711-in-the-open canary-4711-in-the-open\n",
  );
  const [pod] = await pods();
  expect(await run("writer", "echo $POD_IP; hostname -I")).toBe(`${pod?.ip}\n${pod?.ip} \n`);
  expect(JSON.stringify((await waybill.call("GET", "/v1/secrets")).body)).not.toContain("canary");
});

test("a change of labels restarts nothing", { timeout: 120_000 }, async () => {
  const before = await pods();

  const answer = await apply(groupPod({ tier: "two" }));

  expect(answer).toMatchObject({ status: 200, body: { applied: [{ release: 2, phase: "live" }] } });
  const after = await pods();
  expect(after.map(facts)).toEqual(before.map(facts));
  expect(after[0]).toMatchObject({ release: 2, restarts: 0 });
});

test("a change of env replaces the pod, and its shipper hears the last words of the app", {
  timeout: 120_000,
}, async () => {
  const [before] = await pods();

  const answer = await apply(groupPod({ tier: "two", color: "blue" }));

  expect(answer).toMatchObject({ status: 200, body: { applied: [{ release: 3, phase: "live" }] } });
  const [after] = await pods();
  expect(after?.name).not.toBe(before?.name);
  await eventually(
    async () => {
      const { body } = await waybill.call(
        "GET",
        `/v1/apps/group/logs?container=shipper&pod=${before?.name}&tail=all`,
      );
      expect(body.text).toBe("first words of green\nlast words of green\n");
    },
    { withinMs: 20_000 },
  );
});

test("a restart replaces the pods of the same spec", { timeout: 120_000 }, async () => {
  const [before] = await pods();

  const answer = await waybill.call("POST", `/v1/apps/group/restart${WAIT}`);

  expect(answer).toMatchObject({ status: 200, body: { release: 4, phase: "live" } });
  const [after] = await pods();
  expect(after?.name).not.toBe(before?.name);
});

test("an image by its name serves, and its tag is a digest from then on", {
  timeout: 120_000,
}, async () => {
  const body = JSON.stringify({
    name: "web",
    image: "nginx",
    http: { health: { path: "/" } },
  });
  const headers = { "content-type": "application/json" };

  const answer = await waybill.call("PUT", `/v1/apps/web${WAIT}`, { body, headers });

  expect(answer).toMatchObject({
    status: 200,
    body: { phase: "live", digest: expect.stringMatching(/^sha256:/) },
  });
  expect(await waybill.visit("web", "/")).toMatchObject({ status: 200 });
});

test("an image that nobody has ends its release with the places that were asked", {
  timeout: 120_000,
}, async () => {
  const body = JSON.stringify({ name: "nobody", image: "127.0.0.1:9/nobody" });
  const headers = { "content-type": "application/json" };

  const answer = await waybill.call("PUT", `/v1/apps/nobody${WAIT}`, { body, headers });

  expect(answer.status).toBe(422);
  expect(JSON.stringify(answer.body)).toContain("127.0.0.1:9/nobody");
});

type SeenPod = {
  readonly name: string;
  readonly ip: string;
  readonly release: number;
  readonly restarts: number;
  readonly containers: readonly { readonly name: string; readonly startedAt: string }[];
};

/** Those of the live release: the ones before may still be on their way out. */
async function pods(): Promise<readonly SeenPod[]> {
  const { body } = await waybill.call("GET", "/v1/apps/group");
  return (body.pods as SeenPod[]).filter((it) => it.release === body.live);
}

function facts({ name, ip, containers }: SeenPod) {
  return { name, ip, started: containers.map((it) => it.startedAt) };
}

/** The output of a command line in a container of the group. */
async function run(container: string, line: string): Promise<string> {
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ container, command: ["sh", "-c", line] });
  const answer = await waybill.call("POST", "/v1/apps/group/exec", { body, headers });
  expect(answer).toMatchObject({ status: 200, body: { exitCode: 0 } });
  return String(answer.body.stdout);
}

function example(name: string): string {
  return join(import.meta.dirname, "../../examples", name);
}
