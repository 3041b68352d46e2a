import { z } from "zod";
import { Problem } from "../../contract/problem.ts";
import { type AppRow, withDefaults } from "../../db/apps/apps.ts";
import { findRelease, listEvents, listReleases, type ReleaseRow } from "../../db/apps/history.ts";
import { FieldChange, ReleaseAnswer, releaseAnswer } from "../apps/answers.ts";
import { diff } from "../apps/diff.ts";
import { EventsQuery, fromCursor, NoQuery, PageQuery, toCursor } from "../http/query.ts";
import { type KnownCall, PEOPLE, pathPart, type Route, route } from "../http/route.ts";
import { appInPath } from "./apps.ts";

const READ = {
  method: "GET",
  auth: PEOPLE,
  scope: "app:read",
  project: "own",
  audit: null,
  bodyLimit: 0,
} as const;

const EventAnswer = z.strictObject({
  id: z.int(),
  at: z.string(),
  type: z.string(),
  message: z.string(),
  release: z.int().nullable(),
});

export const historyRoutes: readonly Route[] = [
  route({
    ...READ,
    path: "/v1/apps/:app/releases",
    summary: "The app's releases, newest first",
    query: PageQuery,
    answers: {
      200: z.strictObject({ releases: z.array(ReleaseAnswer), next: z.string().nullable() }),
    },
    handle: async (call) => {
      const app = await appInPath(call.deps.db, call);
      const { limit } = call.query;
      const before = Number(fromCursor(call.query.cursor, /^\d{1,9}$/) ?? 2_147_483_647);
      const rows = await listReleases(call.deps.db, app.id, { before, limit: limit + 1 });
      const page = rows.slice(0, limit);
      const last = page.at(-1);
      const next = rows.length > limit && last ? toCursor(String(last.number)) : null;
      return call.c.json({ releases: page.map((row) => releaseAnswer(app.name, row)), next });
    },
  }),
  route({
    ...READ,
    path: "/v1/apps/:app/releases/:n",
    summary: "One release, with what it was made of and how it ended",
    query: NoQuery,
    answers: { 200: ReleaseAnswer },
    handle: async (call) => {
      const app = await appInPath(call.deps.db, call);
      return call.c.json(releaseAnswer(app.name, await releaseInPath(call, app, "n")));
    },
  }),
  route({
    ...READ,
    path: "/v1/apps/:app/releases/:n/diff/:m",
    summary: "What changed from release n to release m: in the spec, and in what it was frozen to",
    query: NoQuery,
    answers: {
      200: z.strictObject({ from: z.int(), to: z.int(), changes: z.array(FieldChange) }),
    },
    handle: async (call) => {
      const app = await appInPath(call.deps.db, call);
      const from = await releaseInPath(call, app, "n");
      const to = await releaseInPath(call, app, "m");
      const built = from.digest !== null && to.digest !== null;
      const changes = diff(toCompare(from, built), toCompare(to, built));
      return call.c.json({ from: from.number, to: to.number, changes });
    },
  }),
  route({
    ...READ,
    path: "/v1/apps/:app/events",
    summary: "What happened to the app, oldest first",
    query: EventsQuery,
    answers: {
      200: z.strictObject({ events: z.array(EventAnswer), next: z.string().nullable() }),
    },
    handle: async (call) => {
      const app = await appInPath(call.deps.db, call);
      const { limit, release } = call.query;
      const after = Number(fromCursor(call.query.cursor, /^\d{1,15}$/) ?? 0);
      const rows = await listEvents(call.deps.db, app.id, { after, limit: limit + 1, release });
      const page = rows.slice(0, limit);
      const last = page.at(-1);
      const next = rows.length > limit && last ? toCursor(String(last.id)) : null;
      const events = page.map((event) => ({ ...event, at: event.at.toISOString() }));
      return call.c.json({ events, next });
    },
  }),
];

async function releaseInPath(call: KnownCall, app: AppRow, part: string): Promise<ReleaseRow> {
  const text = pathPart(call, part);
  const found = /^[1-9]\d{0,8}$/.test(text)
    ? await findRelease(call.deps.db, app.id, Number(text))
    : undefined;
  if (found) return found;
  throw noRelease(app.name, text);
}

export function noRelease(app: string, number: string): Problem {
  return new Problem("not-found", `${app} has no release "${number.slice(0, 20)}".`);
}

/** All that makes a release's pods: its spec, and what that was frozen to, as far as both know it. */
function toCompare({ spec, digest, images, materials }: ReleaseRow, built: boolean) {
  const frozen = "war" in spec ? { digest } : { images: images ?? {} };
  return { ...withDefaults(spec), materials, ...(built && frozen) };
}
