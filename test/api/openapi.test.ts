import { readFile, writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { allRoutes } from "../../api/http/app.ts";
import { openapi } from "../../api/http/openapi.ts";
import { scopesOf } from "../../api/http/route.ts";
import { startApi } from "../support/api.ts";

const GOLDEN = new URL("../golden/openapi.json", import.meta.url);

test("the served description is the one that was reviewed", async () => {
  const now = `${JSON.stringify(openapi(allRoutes()), null, 2)}\n`;
  if (process.env.UPDATE_GOLDEN === "1") await writeFile(GOLDEN, now);

  expect(now).toBe(await readFile(GOLDEN, "utf8"));
});

test("every route stands in it, with its query and whether it wants a token", async () => {
  await using api = await startApi();

  const { body } = await api.ask("/v1/openapi.json");

  expect(body.openapi).toBe("3.1.0");
  for (const route of allRoutes()) {
    const path = route.path.replace(/:(\w+)/g, "{$1}").replace("*", "{path}");
    const operation = body.paths[path][route.method.toLowerCase()];
    expect(operation.summary).toBe(route.summary);
    const choices = Math.max(1, scopesOf(route).length);
    expect(operation.security.length).toBe(route.auth === "open" ? 0 : choices);
    const names = operation.parameters.map((it: { name: string }) => it.name);
    expect(names).toEqual(expect.arrayContaining(Object.keys(route.query.shape)));
  }
});
