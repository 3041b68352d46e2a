import type { RunConfig } from "../image.ts";

/** Static, does nothing until SIGTERM, and reaps what is orphaned in a pod. */
export const PAUSE_PROGRAM = "/usr/bin/catatonit";

export const PAUSE_RUN: RunConfig = {
  user: "65535:65535",
  env: {},
  entrypoint: [PAUSE_PROGRAM, "-P"],
  workingDir: "/",
  labels: { "org.opencontainers.image.title": "Holds the namespaces of a pod" },
};
