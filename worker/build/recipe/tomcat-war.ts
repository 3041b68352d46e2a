import type { RunConfig } from "../image.ts";
import { JAVA_ARGS_FILE } from "./tomcat-conf.ts";

/** Where Tomcat listens in every container of a WAR. */
export const HTTP_PORT = 8080;
/** Neither a user nor a group of the base's own. */
export const RUN_AS = { user: 10_001, group: 10_001 } as const;
export const CATALINA_BASE = "/srv/tomcat";
/** The rest of the root filesystem may be read-only; these must be writable by `RUN_AS`. */
export const WRITABLE_PATHS = [`${CATALINA_BASE}/work`, `${CATALINA_BASE}/temp`, "/tmp"] as const;

/** The folder of the exploded WAR in the image, relative to its root: Tomcat reads the context path off its name. */
export function webappFolder(contextPath: string): string {
  const parts = contextPath.split("/").filter((part) => part !== "");
  if (!parts.every((part) => /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/.test(part))) {
    throw new Error(`"${contextPath}" is not a context path`);
  }
  return `${CATALINA_BASE}/webapps/${parts.join("#") || "ROOT"}`.slice(1);
}

/** How a container of a WAR starts: java is process 1, so it gets the signals; JDK_JAVA_OPTIONS of the pod adds its options. */
export function tomcatWarRun(tomcatVersion: string): RunConfig {
  return {
    user: `${RUN_AS.user}:${RUN_AS.group}`,
    env: {
      PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      // Java 17 takes its default charset from the locale: without one, an app's umlauts break.
      LANG: "C.UTF-8",
    },
    entrypoint: TOMCAT_COMMAND,
    workingDir: CATALINA_BASE,
    stopSignal: "SIGTERM",
    port: HTTP_PORT,
    labels: {
      "org.opencontainers.image.title": "A WAR on Tomcat",
      "org.opencontainers.image.base.name": `base/tomcat:${tomcatVersion}`,
    },
  };
}

export const TOMCAT_COMMAND = [
  "/usr/bin/java",
  `@${JAVA_ARGS_FILE}`,
  "org.apache.catalina.startup.Bootstrap",
  "start",
] as const;
