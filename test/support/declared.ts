import { randomUUID } from "node:crypto";
import { AppSpec } from "../../contract/app/app-spec.ts";
import { Digest, NodeId } from "../../contract/ids.ts";
import type { NodeReport, PodStatus } from "../../contract/node/protocol.ts";
import { ensureProject } from "../../db/access/projects.ts";
import { type Declared, declareApp } from "../../db/apps/apps.ts";
import { claimBuild, finishBuild } from "../../db/apps/builds.ts";
import type { Db } from "../../db/client.ts";
import { storeReport } from "../../db/nodes/sight.ts";
import { nodePlans, nodes, type ResolvedImages } from "../../db/schema/core.ts";
import { ensureVolumes } from "../../db/volumes/volumes.ts";

export const aDigest = (letter: string) => Digest.parse(`sha256:${letter.repeat(64)}`);

/** An app of the default project is declared with this WAR, as a PUT would. */
export async function declare(
  db: Db,
  name: string,
  war = aDigest("a"),
  rest: object = {},
): Promise<Declared> {
  return await declareSpec(db, { name, war: { artifact: war }, ...rest });
}

/** The same for a spec of any source; with `newPods` as a restart would. */
export async function declareSpec(
  db: Db,
  document: object,
  wish: { newPods?: boolean } = {},
): Promise<Declared> {
  const spec = AppSpec.parse(document);
  return await db.transaction(async (tx) => {
    const project = await ensureProject(tx, "default");
    const errors = (await ensureVolumes(tx, project, [spec])).flat();
    if (errors.length > 0) throw new Error(JSON.stringify(errors));
    const materials = { secrets: {}, configMaps: {} };
    return await declareApp(tx, { project, spec, materials, by: "test", ...wish });
  });
}

/** The release is built, as a worker would write it down. */
export async function built(
  db: Db,
  { release }: Declared,
  image = aDigest("c"),
  frozen: { images?: ResolvedImages; httpPort?: number | null } = {},
): Promise<void> {
  const outcome = await claimBuild(db, release);
  if (outcome.kind !== "claimed")
    throw new Error(`the build could not be claimed: ${outcome.kind}`);
  await finishBuild(
    db,
    outcome.claim,
    {
      repository: "apps/default/shop",
      image,
      base: aDigest("b"),
      images: null,
      httpPort: 8080,
      ...frozen,
    },
    "built",
  );
}

/** A node that has joined and reported, with room for what tests place. */
export async function joinedNode(db: Db, name = "local"): Promise<NodeId> {
  const id = NodeId.parse(randomUUID());
  await db.insert(nodes).values({ id, name });
  await db.insert(nodePlans).values({ nodeId: id });
  await storeReport(db, id, aReport([]));
  return id;
}

/** So many wishes were made for every node, whatever they said. */
export async function wishedUpTo(db: Db, generation: number): Promise<void> {
  await db.update(nodePlans).set({ generation });
}

export function aReport(pods: readonly PodStatus[], generation = 0): NodeReport {
  const capacity = { cpuMillis: 8_000, memoryBytes: 16 * 1024 ** 3, pods: 100 };
  return {
    observedGeneration: generation,
    bootId: "boot",
    version: "test",
    capacity,
    handlers: [],
    purgedVolumes: [],
    pods: [...pods],
  };
}
