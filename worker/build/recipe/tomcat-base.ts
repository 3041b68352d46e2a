import { createHash } from "node:crypto";
import { javaArgs, TOMCAT_CONF } from "./tomcat-conf.ts";
import { CATALINA_BASE, RUN_AS, WRITABLE_PATHS } from "./tomcat-war.ts";

export const TOMCAT_BASE_REPOSITORY = "base/tomcat";
/** Every time in the image, in seconds since 1970, so that making it again changes less. */
export const SOURCE_DATE_EPOCH = 1_700_000_000;

const PACKAGES = ["openjdk-17-jre-headless", "tomcat10-common"];

/**
 * Without documents and translations, which nobody reads in a container; licences stay. The JRE's
 * post-install links manual pages, so their folder must be there: the one hook, a constant.
 */
const MMDEBSTRAP_OPTIONS = [
  "--mode=root",
  "--variant=essential",
  "--format=directory",
  `--include=${PACKAGES.join(",")}`,
  "--dpkgopt=path-exclude=/usr/share/doc/*",
  "--dpkgopt=path-include=/usr/share/doc/*/copyright",
  "--dpkgopt=path-exclude=/usr/share/locale/*",
  '--setup-hook=mkdir -p "$1/usr/share/man/man1"',
];

/** The sources are files of the host's apt; where it trusts and reaches packages, so do we. */
export function mmdebstrapArgv(target: string, sources: readonly string[]): readonly string[] {
  return [...MMDEBSTRAP_OPTIONS, "", target, ...sources];
}

/** What is in the root filesystem by then and should not be in the image; relative, as tar wants it. */
const LEFT_OUT = [
  "./dev/*",
  "./proc/*",
  "./sys/*",
  "./run/*",
  "./tmp/*",
  "./var/cache/*",
  "./var/log/*",
  "./var/lib/apt/*",
  "./etc/apt/*",
  "./etc/resolv.conf",
  "./etc/hostname",
  "./usr/share/man/*",
  "./usr/share/info/*",
  "./usr/share/lintian/*",
  "./usr/share/perl",
  "./usr/lib/*/perl",
];

/** GNU tar's arguments for one layer of everything in `root`: sorted, owners by number, no time later than ours. */
export function layerTarArgv(root: string, file: string): readonly string[] {
  return [
    "--create",
    `--file=${file}`,
    `--directory=${root}`,
    "--format=posix",
    "--pax-option=delete=atime,delete=ctime,exthdr.name=%d/PaxHeaders/%f",
    "--sort=name",
    "--numeric-owner",
    `--mtime=@${SOURCE_DATE_EPOCH}`,
    ...LEFT_OUT.map((pattern) => `--exclude=${pattern}`),
    ".",
  ];
}

/**
 * Folders of ours, and whose they are. A mount covers those of `WRITABLE_PATHS` in a pod; runc gives
 * a tmpfs the mode of the folder below and root as its owner, so all must be able to write there.
 */
export const TOMCAT_FOLDERS: readonly {
  readonly path: string;
  readonly mode: number;
  readonly owner: number;
}[] = [
  { path: CATALINA_BASE, mode: 0o755, owner: 0 },
  { path: `${CATALINA_BASE}/conf`, mode: 0o755, owner: 0 },
  { path: `${CATALINA_BASE}/webapps`, mode: 0o755, owner: 0 },
  ...WRITABLE_PATHS.filter((path) => path.startsWith(CATALINA_BASE)).map((path) => ({
    path,
    mode: 0o1777,
    owner: RUN_AS.user,
  })),
];

// Ant tasks, writing of configuration, translations of log messages: nothing here can reach them.
const UNUSED_JARS = /^(catalina-(ant|storeconfig)|tomcat-i18n-.*)\.jar$/;

/** The class path, of the file names in Tomcat's lib folder. In a fixed order: the class archive holds for this one only. */
export function classPath(libJars: readonly string[]): readonly string[] {
  const lib = libJars.filter((name) => name.endsWith(".jar") && !UNUSED_JARS.test(name)).toSorted();
  return [
    "/usr/share/tomcat10/bin/bootstrap.jar",
    "/usr/share/tomcat10/bin/tomcat-juli.jar",
    ...lib.map((name) => `/usr/share/tomcat10/lib/${name}`),
    "/usr/share/java/eclipse-jdt-core.jar",
  ];
}

/** The app that Tomcat runs once so that the classes of start, request and JSP compiler land in the archive. */
export const TRAINING_APP: Readonly<Record<string, string>> = {
  "index.jsp": `<%@ page contentType="text/html;charset=UTF-8" %>
<html><body>\${pageContext.request.method} <%= new java.util.Date() %></body></html>
`,
  "exit.jsp": "<% new Thread(() -> System.exit(0)).start(); %>\n",
  "style.css": "body { color: black }\n",
  "WEB-INF/web.xml": `<?xml version="1.0" encoding="UTF-8"?>
<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.0"><display-name>t</display-name></web-app>
`,
};

/** The base's tag: changes with anything above, so a new recipe makes a new base beside the old one. */
export function tomcatBaseTag(architecture: string): string {
  const parts = [
    "2",
    architecture,
    mmdebstrapArgv("", []),
    layerTarArgv("", ""),
    TOMCAT_FOLDERS,
    TOMCAT_CONF,
    javaArgs(classPath([]), true),
    UNUSED_JARS.source,
    TRAINING_APP,
  ];
  const hash = createHash("sha256").update(JSON.stringify(parts)).digest("hex");
  return `10.1-${hash.slice(0, 16)}`;
}
