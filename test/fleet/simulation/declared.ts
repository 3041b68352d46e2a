import { PodAppSpec } from "../../../contract/app/app-spec.ts";
import type { Digest, NodeId, PodId, ReleaseId } from "../../../contract/ids.ts";
import { demandsOf } from "../../../contract/placement/demands.ts";
import { strategyOf } from "../../../contract/placement/strategy.ts";
import { fingerprintText, type Pod } from "../../../contract/pod/pod.ts";
import { podOf, sourceOf } from "../../../worker/schedule/pod.ts";
import type { PodView, ReleaseView } from "../../../worker/schedule/world.ts";
import { aRelease } from "../../worker/schedule/world.ts";

/* What apps ask for: real specs, made into releases and Pods by the worker's own functions. */

/** What its containers come to: `sick` ones run and are never ready. */
export type Fate = "works" | "sick" | "crashes";
export type AppKind = "plain" | "singleton" | "volume" | "port";

export type Asked = {
  readonly kind: AppKind;
  readonly replicas: number;
  readonly maxSurge: number;
  readonly memoryMib: number;
  readonly fate: Fate;
  /** Two that differ in nothing else are two specs. */
  readonly version: number;
  /** Whether its pods go if it fails. */
  readonly autoRevert: boolean;
  /** Whether somebody asks its pods how they are. */
  readonly probed: boolean;
};

export const DEADLINE_MS = 120_000;
const FATE = "FATE";
/** As in worker/schedule/look.ts: what nobody asks has to run for so long before that proves anything. */
const UNPROBED_SETTLE_MS = 3_000;
const ANY_POD = "00000000-0000-4000-8000-000000000000" as PodId;
const IMAGE = "registry.example.com/app:1";
const DIGEST = `sha256:${"a".repeat(64)}` as Digest;

/** A release as it is frozen: what the plan knows of it, and how a pod of it is made. */
export type Frozen = { readonly view: ReleaseView; readonly podOf: (id: PodId) => Pod };

export function freeze(
  app: string,
  asked: Asked,
  release: { id: ReleaseId; number: number; newPods: boolean; nowMs: number },
): Frozen {
  const { id, number, newPods, nowMs } = release;
  const spec = specOf(app, asked);
  const row = {
    ...{ project: "default", number, spec, imageRepository: "apps/app", imageDigest: DIGEST },
    ...{ images: { [IMAGE]: `apps/app@${DIGEST}` }, httpPort: null },
    materials: { secrets: {}, configMaps: {} },
  };
  const pod = podOf(row, ANY_POD);
  const view = aRelease({
    ...{ id, number, newPods, phase: "built", phaseAtMs: nowMs },
    ...{ source: sourceOf(spec), restartPolicy: pod.spec.restartPolicy },
    ...{ replicas: spec.replicas, maxSurge: spec.rollout.maxSurge },
    ...{ progressDeadlineMs: DEADLINE_MS, autoRevert: asked.autoRevert },
    settleMs: asked.probed ? 0 : UNPROBED_SETTLE_MS,
    demands: demandsOf(pod),
    fingerprint: fingerprintText(pod),
    exclusive: strategyOf(pod).kind === "recreate",
  });
  return { view, podOf: (uid) => podOf(row, uid) };
}

/** A pod that was just placed, as the plan looks at it. */
export function placedPod(spec: Pod, of: ReleaseView, node: NodeId, nowMs: number): PodView {
  return {
    ...{ id: spec.metadata.uid, name: spec.metadata.name, release: of.id, node, wanted: "run" },
    ...{ createdAtMs: nowMs, goneAtMs: undefined, graceMs: of.graceMs, seen: undefined },
    ...{ fingerprint: of.fingerprint, textBytes: of.wish.textBytes, exclusive: of.exclusive },
    nodeSelector: of.demands.nodeSelector,
  };
}

export function fateOf(pod: Pod): Fate {
  return pod.spec.containers[0]?.env.find((it) => it.name === FATE)?.value as Fate;
}

export function claimOf(app: string): string {
  return `${app}-data`;
}

function specOf(name: string, asked: Asked): PodAppSpec {
  const { kind, replicas, maxSurge, memoryMib, fate, version, autoRevert, probed } = asked;
  const memory = `${memoryMib}Mi`;
  return PodAppSpec.parse({
    ...{ name, replicas, singleton: kind === "singleton" },
    rollout: { maxSurge, progressDeadline: `${DEADLINE_MS / 1_000}s`, autoRevert },
    pod: {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name },
      spec: {
        containers: [
          {
            ...{ name: "app", image: IMAGE },
            env: [
              { name: FATE, value: fate },
              { name: "VERSION", value: String(version) },
            ],
            resources: { requests: { cpu: "100m", memory }, limits: { memory } },
            ports: [{ containerPort: 8080, ...(kind === "port" && { hostPort: 8443 }) }],
            ...(probed && { readinessProbe: { tcpSocket: { port: 8080 } } }),
            ...(kind === "volume" && { volumeMounts: [{ name: "data", mountPath: "/data" }] }),
          },
        ],
        ...(kind === "volume" && {
          volumes: [{ name: "data", persistentVolumeClaim: { claimName: claimOf(name) } }],
        }),
      },
    },
  });
}
