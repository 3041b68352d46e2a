import type { Hands } from "../../node-agent/act/act.ts";
import { openPodNotes } from "../../node-agent/disk/pod-notes.ts";

/** Hands that find no secrets, no artifacts and no routes; what a test is about, it says. */
export function someHands(said: Pick<Hands, "runtime" | "places"> & Partial<Hands>): Hands {
  return {
    images: {
      ensurePause: async () => undefined,
      ensure: async (reference) => ({ id: reference, references: [reference], user: "" }),
    },
    artifacts: {
      folder: async (reference) => {
        throw new Error(`there is no ${reference}`);
      },
    },
    materials: async () => ({ configMaps: new Map(), secrets: new Map() }),
    outcomes: { record: async () => undefined },
    notes: openPodNotes(said.places),
    hostPaths: [],
    hostPorts: [],
    node: () => ({ nodeName: "test", hostIp: "127.0.0.1" }),
    dns: () => undefined,
    routed: () => false,
    withdrawn: async () => [],
    connectionsTo: async () => 0,
    ...said,
  };
}
