import type { Hands } from "../../node-agent/act/act.ts";

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
    hostPaths: [],
    node: () => ({ nodeName: "test", hostIp: "127.0.0.1" }),
    dns: () => undefined,
    routed: () => false,
    withdrawn: async () => undefined,
    ...said,
  };
}
