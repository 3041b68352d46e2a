import type { AppId, NodeId, ReleaseId } from "../../contract/ids.ts";
import type { Pod } from "../../contract/pod/pod.ts";
import type { Tx } from "../../db/client.ts";
import { pods, podTexts } from "../../db/schema/core.ts";

/** A pod as the scheduler stores one, without a look at any node; its text as one from before demands were. */
export async function storePod(
  tx: Pick<Tx, "insert">,
  pod: {
    readonly app: AppId;
    readonly release: ReleaseId;
    readonly node: NodeId;
    readonly spec: Pod;
    readonly nodePort?: number;
  },
): Promise<void> {
  const { app: appId, release: releaseId, node: nodeId, spec, nodePort = null } = pod;
  const [text] = await tx
    .insert(podTexts)
    .values({ releaseId, spec })
    .returning({ id: podTexts.id });
  if (text === undefined) throw new Error("the insert of a pod's text returned no row");
  const { uid: id, name } = spec.metadata;
  await tx.insert(pods).values({ id, appId, releaseId, nodeId, name, textId: text.id, nodePort });
}
