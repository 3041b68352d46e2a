import { sql } from "drizzle-orm";
import { afterAll, beforeAll, expect, test } from "vitest";
import { EXEC_CHANNEL, type ExecSession } from "../../contract/node/exec.ts";
import { PodStatus } from "../../contract/node/protocol.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { aReport, declare } from "../support/declared.ts";
import { eventually } from "../support/eventually.ts";
import { joined } from "../support/joined.ts";
import { place } from "../support/place.ts";

/* What the api does between a person and an agent; test/node-agent/exec.test.ts runs real commands. */

let api: TestApi;
let token: string;
beforeAll(async () => {
  api = await startApi();
  const node = await joined(api);
  token = node.token;
  await declare(api.db, "shop");
  const pod = await place(api, "shop", node);
  const status = PodStatus.parse({
    pod,
    phase: "Running",
    ready: true,
    restarts: 0,
    containers: [{ name: "web", state: "running", ready: true, restarts: 0 }],
  });
  await api.ask("/v1/node/report", { method: "POST", token, json: aReport([status], 1) });
});
afterAll(() => api[Symbol.asyncDispose]());

const exec = (command: readonly string[]) =>
  api.ask("/v1/apps/shop/exec", { method: "POST", json: { command } });

/** What an agent does: takes the next command up. */
async function takeUp(): Promise<ExecSession> {
  const { body } = await api.ask("/v1/node/execs", { token });
  return body.sessions[0];
}

const output = ({ id }: ExecSession, json: object) =>
  api.ask(`/v1/node/execs/${id}/output`, { method: "POST", token, json });

const said = (text: string) =>
  Buffer.concat([Buffer.of(EXEC_CHANNEL.stdout), Buffer.from(text)]).toString("base64");

const framesLeft = async () => (await api.db.execute(sql`select seq from exec_frames`)).length;

test("output that an agent sends again is shown once, also when the first was taken long ago", async () => {
  const answer = exec(["date"]);
  const session = await takeUp();
  await output(session, { first: 1, frames: [said("once ")] });
  await eventually(async () => expect(await framesLeft()).toBe(0));

  await output(session, { first: 1, frames: [said("once "), said("and more")] });
  await output(session, { first: 3, frames: [], exit: { exitCode: 0 } });

  expect((await answer).body).toEqual({ stdout: "once and more", stderr: "", exitCode: 0 });
});
