import { apiUrl, type Settings } from "./env.ts";
import type { Places } from "./places.ts";

/** The commands to try, with this installation's own paths and ports, ready to be pasted. Pure. */
export function welcome(settings: Settings, places: Places, root: string): string {
  const url = apiUrl(settings);
  const token = `"Authorization: Bearer $(cat ${quoted(places.adminToken)})"`;
  const port = settings.httpPort === 80 ? "" : `:${settings.httpPort}`;
  const app = `http://hello.${settings.appsDomain}${port}/`;
  return [
    "",
    `Waybill is up: the api at ${url}, apps at http://<app>.${settings.appsDomain}${port}/`,
    "",
    "Make an example WAR, deploy it, and ask it:",
    "",
    `  sh ${quoted(`${root}/examples/hello-war/build.sh`)}`,
    `  curl -T ${quoted(`${root}/examples/hello-war/hello.war`)} -H ${token} "${url}/v1/apps/hello/war?wait=healthy&timeout=180"`,
    `  curl ${app}`,
    "",
    `Logs: ${places.logDir}. Ctrl-C stops the control plane and leaves the apps serving;`,
    "`npm run down` stops everything and keeps the data.",
    "",
  ].join("\n");
}

/** For a POSIX shell; left as it is where it needs no quotes. */
function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
