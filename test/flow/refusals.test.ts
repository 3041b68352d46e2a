import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { helloWar } from "../support/hello-war.ts";
import { anInstallation, type Installation } from "../support/installation.ts";
import { residentMib } from "../support/resident.ts";
import { zipOf } from "../support/wars.ts";

let waybill: Installation;

beforeAll(async () => {
  waybill = await anInstallation({ WAYBILL_MAX_ARTIFACT: "400Mi" });
  await waybill.start();
  expect(await waybill.putWar("shop", await helloWar("good"), WAIT)).toMatchObject({ status: 200 });
}, 400_000);

afterAll(async () => {
  await waybill?.[Symbol.asyncDispose]();
}, 120_000);

const WAIT = "?wait=healthy&timeout=300";
