import type { Route } from "./http/route.ts";
import { applyRoutes } from "./routes/apply.ts";
import { appRoutes } from "./routes/apps.ts";
import { artifactRoutes } from "./routes/artifacts.ts";
import { execRoutes } from "./routes/exec.ts";
import { explainRoutes } from "./routes/explain.ts";
import { healthRoutes } from "./routes/health.ts";
import { historyRoutes } from "./routes/history.ts";
import { installRoutes } from "./routes/install.ts";
import { logRoutes } from "./routes/logs.ts";
import { materialRoutes } from "./routes/materials.ts";
import { nodeExecRoutes } from "./routes/node-execs.ts";
import { nodeLogRoutes } from "./routes/node-logs.ts";
import { nodeSyncRoutes } from "./routes/node-sync.ts";
import { nodeRoutes } from "./routes/nodes.ts";
import { registryRoutes } from "./routes/registry.ts";
import { restartRoutes } from "./routes/restart.ts";
import { rollbackRoutes } from "./routes/rollback.ts";
import { scaleRoutes } from "./routes/scale.ts";
import { volumeRoutes } from "./routes/volumes.ts";

/** Every route there is. A route that is not in here does not exist; a test walks the app to see it. */
export const ROUTES: readonly Route[] = [
  ...healthRoutes,
  ...installRoutes,
  ...appRoutes,
  ...artifactRoutes,
  ...applyRoutes,
  ...restartRoutes,
  ...rollbackRoutes,
  ...scaleRoutes,
  ...historyRoutes,
  ...explainRoutes,
  ...materialRoutes,
  ...volumeRoutes,
  ...nodeRoutes,
  ...nodeSyncRoutes,
  ...logRoutes,
  ...nodeLogRoutes,
  ...execRoutes,
  ...nodeExecRoutes,
  ...registryRoutes,
];
