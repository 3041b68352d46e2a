import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { withoutValues } from "../../db/errors.ts";
import { causeChain } from "../../kit/log.ts";
import { freshDb } from "../support/postgres.ts";

test("what a failed statement carried is not logged, however deep its error lies", async () => {
  await using pg = await freshDb();
  const failed = await pg.db
    .execute(sql`select * from nowhere where a = ${"hunter2"}`)
    .catch((it) => it);
  const error = new Error("placing a pod", { cause: new Error("adding it", { cause: failed }) });
  expect(causeChain(error).join()).toContain("hunter2");

  const logged = causeChain(withoutValues(error)).join("\n");

  expect(logged).not.toContain("hunter2");
  expect(logged).toContain("placing a pod\nadding it\na statement failed: select * from nowhere");
  expect(logged).toContain('relation "nowhere" does not exist');
});
