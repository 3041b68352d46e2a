import type { z } from "zod";
import type { AppSpec } from "../../contract/app/app-spec.ts";
import type { Digest } from "../../contract/ids.ts";
import { REGISTRY_NAME } from "../../contract/node/protocol.ts";
import type { Pod } from "../../contract/pod/pod.ts";
import type { Materials, ResolvedImages } from "../../db/schema/core.ts";

/** A release with everything that its pods are made from. */
export type FrozenRelease<Spec extends AppSpec = AppSpec> = {
  readonly project: string;
  readonly number: number;
  readonly spec: Spec;
  readonly imageRepository: string;
  readonly imageDigest: Digest;
  readonly images: ResolvedImages | null;
  readonly materials: Materials;
  readonly httpPort: number | null;
};

type PodInput = z.input<typeof Pod>;
export type ContainerInput = PodInput["spec"]["containers"][number];

/** What a source says of its pods; names, and the labels that Waybill puts on every pod, are pod.ts's. */
export type PodDraft = {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: PodInput["spec"];
};

/** The image that `name` stood for when the release was made, as a node finds it. */
export function frozenImage({ images, number }: FrozenRelease, name: string): string {
  const resolved = images?.[name];
  if (resolved === undefined) throw new Error(`release ${number} has no image for ${name}`);
  return `${REGISTRY_NAME}/${resolved}`;
}
