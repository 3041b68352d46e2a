import { once } from "node:events";
import {
  chmod,
  chown,
  lutimes,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  writeFile,
} from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { ExecError, exec } from "../../kit/exec.ts";
import { runConfined } from "./confined.ts";
import {
  classPath,
  layerTarArgv,
  mmdebstrapArgv,
  SOURCE_DATE_EPOCH,
  TOMCAT_FOLDERS,
  TRAINING_APP,
} from "./recipe/tomcat-base.ts";
import { CLASS_ARCHIVE, JAVA_ARGS_FILE, javaArgs, TOMCAT_CONF } from "./recipe/tomcat-conf.ts";
import { CATALINA_BASE, RUN_AS, TOMCAT_COMMAND } from "./recipe/tomcat-war.ts";

type Stage = (what: string) => void;
export type Proxies = Readonly<Record<string, string | undefined>>;

/** Makes the Tomcat base's root filesystem in `folder` and packs it; returns the tar's path. `stage` hears what is going on. */
export async function makeTomcatLayer(making: {
  readonly folder: string;
  readonly proxies: Proxies;
  readonly stage: Stage;
  readonly signal: AbortSignal;
}): Promise<string> {
  const { folder, proxies, stage, signal } = making;
  const root = join(folder, "root");
  await installPackages(root, proxies, stage, signal);
  stage("writing its configuration");
  const jars = classPath(await readdir(join(root, "usr/share/tomcat10/lib")));
  await configure(root, jars);
  stage("preparing a fast start");
  await makeClassArchive(root, jars, signal);
  stage("packing");
  const tar = join(folder, "layer.tar");
  await exec("/usr/bin/tar", layerTarArgv(root, tar), { timeoutMs: 300_000, signal });
  return tar;
}

const INSTALL_TIMEOUT_MS = 15 * 60_000;

/** mmdebstrap's own lines, as people read them. */
const INSTALL_STAGES: readonly (readonly [pattern: RegExp, stage: string])[] = [
  [/running apt-get update/, "fetching the package lists"],
  [/downloading packages/, "downloading packages"],
  [/extracting archives/, "unpacking packages"],
  [/installing (essential|remaining) packages/, "installing packages"],
];

async function installPackages(
  root: string,
  proxies: Proxies,
  stage: Stage,
  signal: AbortSignal,
): Promise<void> {
  stage("fetching the package lists");
  const argv = mmdebstrapArgv(root, await aptSources());
  await runConfined(["/usr/bin/mmdebstrap", ...argv], {
    env: { ...set(proxies), SOURCE_DATE_EPOCH: String(SOURCE_DATE_EPOCH), LC_ALL: "C.UTF-8" },
    timeoutMs: INSTALL_TIMEOUT_MS,
    signal,
    onLine: (line) => {
      const known = INSTALL_STAGES.find(([pattern]) => line.startsWith("I:") && pattern.test(line));
      if (known) stage(known[1]);
    },
  });
}

function set(variables: Proxies): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(variables).filter((it): it is [string, string] => it[1] !== undefined),
  );
}

/** The host's own package sources: Debian's own files where they say anything, otherwise whatever is there. */
export async function aptSources(): Promise<readonly string[]> {
  const folder = "/etc/apt/sources.list.d";
  const others = (await readdir(folder))
    .filter((name) => /\.(list|sources)$/.test(name))
    .map((name) => join(folder, name));
  const usual = ["/etc/apt/sources.list", join(folder, "debian.sources")];
  const found = await withEntries(usual);
  if (found.length > 0) return found;
  const rest = await withEntries(others);
  if (rest.length > 0) return rest;
  throw new Error("apt has no package sources on this host: /etc/apt/sources.list is empty");
}

async function withEntries(paths: readonly string[]): Promise<readonly string[]> {
  const found: string[] = [];
  for (const path of paths) {
    const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return "";
      throw error;
    });
    if (/^\s*(deb\s|Types:)/m.test(text)) found.push(path);
  }
  return found;
}

async function configure(root: string, jars: readonly string[]): Promise<void> {
  for (const { path, mode, owner } of TOMCAT_FOLDERS) {
    await mkdir(join(root, path), { recursive: true });
    await chmod(join(root, path), mode);
    await chown(join(root, path), owner, owner);
  }
  await writeTexts(root, TOMCAT_CONF);
  await writeTexts(root, { [JAVA_ARGS_FILE]: javaArgs(jars, false) });
  // The class archive holds only while the jars have the time that it saw, which is the image's.
  for (const folder of ["usr/share/java", "usr/share/tomcat10/bin", "usr/share/tomcat10/lib"]) {
    for (const name of await readdir(join(root, folder))) {
      await lutimes(join(root, folder, name), SOURCE_DATE_EPOCH, SOURCE_DATE_EPOCH);
    }
  }
}

async function writeTexts(folder: string, texts: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, text] of Object.entries(texts)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text, { mode: 0o644 });
  }
}

const TRAINING_TIMEOUT_MS = 60_000;

/**
 * Runs Tomcat once, with an app that ends it, and keeps the classes it loaded in a form that later
 * starts map into memory. Only speed depends on it: where it does not work, the image goes without.
 */
async function makeClassArchive(
  root: string,
  jars: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const app = join(root, CATALINA_BASE, "webapps/ROOT");
  const made = `${CATALINA_BASE}/temp/classes.jsa`;
  try {
    await writeTexts(app, TRAINING_APP);
    await train(root, made, signal);
    await rename(join(root, made), join(root, CLASS_ARCHIVE));
    await chown(join(root, CLASS_ARCHIVE), 0, 0);
    await writeTexts(root, { [JAVA_ARGS_FILE]: javaArgs(jars, true) });
  } catch (error) {
    signal.throwIfAborted();
    const missing = error instanceof Error && "code" in error && error.code === "ENOENT";
    if (!(error instanceof ExecError) && !missing) throw error;
  } finally {
    await rm(app, { recursive: true, force: true });
    for (const name of ["work", "temp"]) await empty(join(root, CATALINA_BASE, name));
  }
}

/** The last request ends Tomcat. */
async function train(root: string, archive: string, signal: AbortSignal): Promise<void> {
  const [java, file, ...main] = TOMCAT_COMMAND;
  const port = await freePort();
  // The last of two equal properties wins.
  const trainingArgs = [file, `-Dwaybill.http.port=${port}`, ...main];
  const failed = new AbortController();
  await runConfined([java, `-XX:ArchiveClassesAtExit=${archive}`, ...trainingArgs], {
    root: { folder: root, ...RUN_AS },
    timeoutMs: TRAINING_TIMEOUT_MS,
    signal: AbortSignal.any([signal, failed.signal]),
    onLine: (line) => {
      if (!line.includes("Server startup in")) return;
      sendTraining(port, signal).catch((error) => failed.abort(error));
    },
  });
}

/** Someone else may take it before Tomcat does; then this base starts more slowly, no more. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("a listener has no port");
  return address.port;
}

async function sendTraining(port: number, signal: AbortSignal): Promise<void> {
  for (const path of ["/", "/style.css", "/missing", "/", "/exit.jsp"]) {
    // A connection that is kept would be waited for when Tomcat drains.
    const headers = { connection: "close" };
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers, signal });
    await response.arrayBuffer();
  }
}

async function empty(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    await rm(join(folder, name), { recursive: true, force: true });
  }
}
