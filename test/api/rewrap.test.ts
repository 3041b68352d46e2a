import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { rewrapSecrets } from "../../api/materials/rewrap.ts";
import { secretsDoor } from "../../api/materials/secrets-door.ts";
import { keyLine, startApi, type TestApi } from "../support/api.ts";
import { aNodeKey, joined } from "../support/joined.ts";
import { aPodDocument, apply, aSecret, fromSecret } from "../support/materials.ts";
import { place } from "../support/place.ts";

const [OLD, NEW] = [keyLine("old", 1), keyLine("new", 2)];
const going = new AbortController().signal;

/** Another api process, whose key file has this text. */
function withKeys(api: TestApi, text: string) {
  return { ...api.deps, secrets: secretsDoor(api.db, text) };
}

const kids = async (api: TestApi) =>
  (await api.db.execute<{ kid: string }>(sql`select kid from secrets order by name, version`)).map(
    ({ kid }) => kid,
  );

test("a new first line takes over every secret, after which the old line may go", async () => {
  await using api = await startApi({ keyFile: OLD });
  await apply(api, [aSecret("a", { x: "1" }), aSecret("b", { x: "2" })]);
  await apply(api, [aSecret("a", { x: "3" })]);

  await rewrapSecrets(withKeys(api, NEW + OLD), going);

  expect(await kids(api)).toEqual(["new", "new", "new"]);
  Object.assign(api.deps, { secrets: secretsDoor(api.db, NEW) });
  const again = await apply(api, [aSecret("a", { x: "3" }), aSecret("b", { x: "2" })]);
  expect(again.body.applied).toMatchObject([
    { version: 2, unchanged: true },
    { version: 1, unchanged: true },
  ]);
});

test("a row that was changed is left as it is, more than a batch is done, and nothing twice", async () => {
  await using api = await startApi({ keyFile: OLD });
  await apply(api, [aSecret("b", { x: "1" })]);
  await api.db.execute(sql`
    insert into secrets (project_id, name, version, keys, mark, kid, wrapped_key, sealed, created_by)
    select project_id, 'a' || n, 1, keys, mark, kid, wrapped_key, sealed, 'moved'
    from secrets, generate_series(1, 150) as n`);

  await rewrapSecrets(withKeys(api, NEW + OLD), going);
  const written = () => api.db.execute(sql`select xmin from secrets order by name`);
  const once = await written();
  await rewrapSecrets(withKeys(api, NEW + OLD), going);

  expect((await kids(api)).filter((it) => it === "new")).toHaveLength(1);
  expect((await kids(api)).at(-1)).toBe("new");
  expect(await written()).toEqual(once);
});

test("an api that does not know the new key answers no wish, rather than one without its secrets", async () => {
  await using api = await startApi({ keyFile: OLD });
  const { publicKey } = await aNodeKey();
  const node = await joined(api, "local", publicKey);
  await apply(api, [aSecret("db", { x: "1" }), aPodDocument("shop", fromSecret("db", "x"))]);
  await place(api, "shop", node);
  await api.deps.secrets.unlock();

  await rewrapSecrets(withKeys(api, NEW + OLD), going);

  const { token } = node;
  expect((await api.ask("/v1/node/desired", { token })).status).toBe(503);
  Object.assign(api.deps, { secrets: secretsDoor(api.db, NEW + OLD) });
  expect((await api.ask("/v1/node/desired", { token })).body.secrets).toHaveLength(1);
});
