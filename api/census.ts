import type { Route } from "./route.ts";
import { applyRoutes } from "./routes/apply.ts";
import { appRoutes } from "./routes/apps.ts";
import { artifactRoutes } from "./routes/artifacts.ts";
import { healthRoutes } from "./routes/health.ts";
import { historyRoutes } from "./routes/history.ts";
import { nodeSyncRoutes } from "./routes/node-sync.ts";
import { nodeRoutes } from "./routes/nodes.ts";
import { registryRoutes } from "./routes/registry.ts";

/** Every route there is. A route that is not in here does not exist; a test walks the app to see it. */
export const ROUTES: readonly Route[] = [
  ...healthRoutes,
  ...appRoutes,
  ...artifactRoutes,
  ...applyRoutes,
  ...historyRoutes,
  ...nodeRoutes,
  ...nodeSyncRoutes,
  ...registryRoutes,
];
