import { join } from "node:path";
import type { PodId } from "../../contract/ids.ts";
import type { VolumeKey } from "../../contract/material/material.ts";

/** Every path of the agent's. Made of checked ids only, so that no name can lead out of its folder. */
export type Places = {
  /** The name in the installation label, and the group above all pods' groups. */
  readonly installation: string;
  readonly identity: string;
  /** The node's private key, which opens the secrets that are sealed for it. */
  readonly privateKey: string;
  readonly ledger: string;
  readonly verdicts: string;
  readonly outcomesDir: string;
  readonly podsDir: string;
  readonly logsDir: string;
  /** Notes about commands that run on people's behalf. */
  readonly execsDir: string;
  /** Artifacts that pods mount, each unpacked in a folder named after its digest. */
  readonly artifactsDir: string;
  /** Named volumes, which outlive everything but their purge. */
  readonly namedVolumesDir: string;
  readonly cgroup: string;
  podDir(uid: PodId): string;
  volumesDir(uid: PodId): string;
  /** Where one container's parts of volumes are shown. */
  subPathsDir(uid: PodId, container: string): string;
  namedVolume(key: VolumeKey): string;
  logDir(uid: PodId): string;
  podCgroup(uid: PodId): string;
};

export function placesIn(agentDir: string, cgroupParent: string): Places {
  const podsDir = join(agentDir, "pods");
  const logsDir = join(agentDir, "logs");
  const namedVolumesDir = join(agentDir, "volumes");
  return {
    installation: cgroupParent.replace(/^\//, ""),
    identity: join(agentDir, "node.json"),
    privateKey: join(agentDir, "node.key"),
    ledger: join(agentDir, "ledger.json"),
    verdicts: join(agentDir, "verdicts.json"),
    outcomesDir: join(agentDir, "outcomes"),
    podsDir,
    logsDir,
    execsDir: join(agentDir, "execs"),
    artifactsDir: join(agentDir, "artifacts"),
    namedVolumesDir,
    cgroup: cgroupParent,
    podDir: (uid) => join(podsDir, uid),
    volumesDir: (uid) => join(podsDir, uid, "volumes"),
    subPathsDir: (uid, container) => join(podsDir, uid, "sub-paths", container),
    namedVolume: ({ project, name }) => join(namedVolumesDir, project, name),
    logDir: (uid) => join(logsDir, uid),
    podCgroup: (uid) => `${cgroupParent}/pod${uid}`,
  };
}
