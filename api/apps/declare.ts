import { canonicalJson } from "../../contract/pod/pod.ts";
import {
  declareApp,
  findApp,
  newestRelease,
  standsFor,
  type Wish,
  withDefaults,
} from "../../db/apps/apps.ts";
import type { Tx } from "../../db/client.ts";
import { NO_MATERIALS } from "../../db/schema/core.ts";
import { actorName } from "../http/auth.ts";
import type { KnownCall } from "../http/route.ts";
import { appUrl, type DeclareAnswer, type DryRunAnswer } from "./answers.ts";
import { type Changed, hashOf } from "./change.ts";
import type { Checked } from "./check.ts";
import { diff } from "./diff.ts";
import { type Around, lookAround, planPods, type Wished } from "./explain.ts";
import { type Found, findReferences, planReferences } from "./references.ts";
import type { Watched } from "./wait.ts";

/** What makes of a declaration more than one of its spec. */
export type DeclareOptions = Pick<Wish, "newPods" | "built" | "because">;

/** An answer, and what to watch for whoever waits. Kept with an Idempotency-Key, so it is plain JSON. */
export type Accepted = { readonly answer: DeclareAnswer; readonly watched: Watched };

/** Hop 2 for one spec, once everything that it names is found. */
export async function declareOne(
  tx: Tx,
  call: KnownCall,
  checked: Checked,
  options: DeclareOptions = {},
): Promise<Changed<Accepted>> {
  const [found] = await findReferences(tx, call, [checked]);
  if (found === undefined) throw new Error("one spec was asked for, and none was found");
  return await declare(tx, call, found, options);
}

/** What `declareOne` would do; what the spec names is looked for as well. */
export async function planOne(tx: Tx, call: KnownCall, checked: Checked): Promise<DryRunAnswer> {
  const [found] = await planReferences(tx, call, [checked]);
  if (found === undefined) throw new Error("one spec was asked for, and none was found");
  return await planDeclare(tx, call, found);
}

/** Hop 2 for one spec and what it names, in the caller's transaction. */
export async function declare(
  tx: Tx,
  call: KnownCall,
  { spec, materials }: Pick<Found, "spec" | "materials">,
  options: DeclareOptions = {},
): Promise<Changed<Accepted>> {
  const wish = { project: call.caller.projectId, spec, materials, by: actorName(call.caller) };
  const made = await declareApp(tx, { ...wish, ...options });
  const { app, release, number, phase, digest, httpPort, unchanged } = made;
  const url = appUrl(call.deps.config, spec, httpPort);
  return {
    status: made.created ? 201 : 200,
    value: {
      answer: { app: spec.name, release: number, phase, digest, url, unchanged },
      watched: { app, release, number },
    },
    audits: unchanged
      ? []
      : [
          {
            object: `app:${spec.name}`,
            before: made.before && hashOf(call, canonicalJson(made.before)),
            after: hashOf(call, canonicalJson(spec)),
          },
        ],
  };
}

/** What `declare` would do. Versions of secrets and config maps are told as changes below /materials. */
export async function planDeclare(
  tx: Tx,
  call: KnownCall,
  wish: Wished,
  around?: Around,
): Promise<DryRunAnswer> {
  const { spec, materials } = wish;
  const app = await findApp(tx, call.caller.projectId, spec.name);
  const newest = app && (await newestRelease(tx, app.id));
  const changes = [
    ...diff(app ? withDefaults(app.spec) : {}, spec),
    ...diff(newest?.materials ?? NO_MATERIALS, materials, ["materials"]),
  ];
  const unchanged = app !== undefined && newest !== undefined && standsFor(newest, app, wish);
  const looked = around ?? (await lookAround(tx, call, [wish]));
  const plan = await planPods(tx, call, wish, app, looked);
  return { app: spec.name, dryRun: true, unchanged, changes, spec, plan };
}
