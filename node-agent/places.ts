import { join } from "node:path";
import type { PodId } from "../contract/ids.ts";

/** Every path of the agent's. Made of checked ids only, so that no name can lead out of its folder. */
export type Places = {
  /** The name in the installation label, and the group above all pods' groups. */
  readonly installation: string;
  readonly identity: string;
  readonly ledger: string;
  readonly podsDir: string;
  readonly logsDir: string;
  readonly cgroup: string;
  podDir(uid: PodId): string;
  volumesDir(uid: PodId): string;
  logDir(uid: PodId): string;
  podCgroup(uid: PodId): string;
};

export function placesIn(agentDir: string, cgroupParent: string): Places {
  const podsDir = join(agentDir, "pods");
  const logsDir = join(agentDir, "logs");
  return {
    installation: cgroupParent.replace(/^\//, ""),
    identity: join(agentDir, "node.json"),
    ledger: join(agentDir, "ledger.json"),
    podsDir,
    logsDir,
    cgroup: cgroupParent,
    podDir: (uid) => join(podsDir, uid),
    volumesDir: (uid) => join(podsDir, uid, "volumes"),
    logDir: (uid) => join(logsDir, uid),
    podCgroup: (uid) => `${cgroupParent}/pod${uid}`,
  };
}
