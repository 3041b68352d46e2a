import { mkdtemp, realpath, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Container, Pod } from "../../../contract/pod/pod.ts";
import type { PodValues } from "../../../node-agent/disk/materials.ts";
import { type Places, placesIn } from "../../../node-agent/disk/places.ts";
import { removeMountedFolder } from "../../../node-agent/host/volumes.ts";
import type { BoundMount } from "../../../node-agent/runtime/cri-config.ts";
import {
  containerMounts,
  type ReadyVolumes,
  readyVolumes,
} from "../../../node-agent/volumes/ready.ts";
import { aPod } from "../../support/pods.ts";

/** A folder for an agent's volumes, and one beside it for what stands for the host's own files. */
export type Host = AsyncDisposable & {
  readonly places: Places;
  readonly dir: string;
  ready(pod: Pod, said?: Said): Promise<ReadyVolumes>;
  /** The volumes as the pod's first container sees them, by mount path. */
  mounts(pod: Pod, volumes: ReadyVolumes): Promise<ReadonlyMap<string, BoundMount>>;
};

type Said = {
  readonly hostPaths?: readonly string[];
  readonly values?: Partial<PodValues>;
  readonly artifact?: (reference: string) => Promise<string>;
};

export async function aHost(): Promise<Host> {
  const root = await realpath(await mkdtemp(join(tmpdir(), "waybill-test-volumes-")));
  const places = placesIn(join(root, "agent"), "/waybill-test");
  return {
    places,
    dir: join(root, "host"),
    ready: (pod, { hostPaths = [], values, artifact = async () => "/none" } = {}) =>
      readyVolumes(pod, {
        places,
        hostPaths,
        artifact,
        values: { configMaps: new Map(), secrets: new Map(), ...values },
      }),
    async mounts(pod, volumes) {
      const [container] = pod.spec.containers as [Container];
      const place = places.subPathsDir(pod.metadata.uid, container.name);
      const all = await containerMounts(container, volumes, place);
      return new Map(all.map((it) => [it.containerPath, it] as const));
    },
    [Symbol.asyncDispose]: () => removeMountedFolder(root),
  };
}

/** A pod with these volumes, mounted by its container as said, or all below /v. */
export function podWith(
  volumes: readonly Readonly<Record<string, unknown>>[],
  volumeMounts: readonly object[] = volumes.map(({ name }) => ({ name, mountPath: `/v/${name}` })),
  spec: object = {},
): Pod {
  return aPod({
    labels: { "waybill.dev/project": "team" },
    container: { volumeMounts },
    spec: { ...spec, volumes },
  });
}

export function bytesOf(values: Readonly<Record<string, string>>): ReadonlyMap<string, Uint8Array> {
  return new Map(Object.entries(values).map(([key, text]) => [key, Buffer.from(text)] as const));
}

/** In octal digits. */
export async function mode(path: string): Promise<string> {
  return ((await stat(path)).mode & 0o7777).toString(8);
}
