import { openLog } from "../kit/log.ts";
import { takeDown } from "./act/take-down.ts";
import { placesIn } from "./disk/places.ts";
import { readAgentEnv } from "./env.ts";
import { openCri } from "./runtime/cri.ts";

const log = openLog("node-agent-down");
try {
  const env = readAgentEnv();
  const places = placesIn(env.WAYBILL_AGENT_DIR, env.WAYBILL_CGROUP_PARENT);
  const removed = await takeDown(
    openCri(env.CONTAINER_RUNTIME_ENDPOINT, places.installation),
    places,
  );
  log.info("no pod of this installation is left", { removed });
  process.exit(0);
} catch (error) {
  log.error("some pods may be left; start the runtime and run this again", error);
  process.exit(1);
}
