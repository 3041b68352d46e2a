import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A WAR of about `bytes`: 20 jars that do not compress, as jars do not, 200 classes and a page. Never the same twice. */
export function bigWar(bytes: number): Uint8Array<ArrayBuffer> {
  const folder = mkdtempSync(join(tmpdir(), "waybill-big-"));
  try {
    mkdirSync(join(folder, "WEB-INF/lib"), { recursive: true });
    mkdirSync(join(folder, "WEB-INF/classes/app"), { recursive: true });
    writeFileSync(join(folder, "index.jsp"), "<%= 1 + 1 %>");
    for (let at = 0; at < 20; at++) {
      writeFileSync(join(folder, `WEB-INF/lib/lib-${at}.jar`), randomBytes(Math.floor(bytes / 21)));
    }
    for (let at = 0; at < 200; at++) {
      writeFileSync(join(folder, `WEB-INF/classes/app/C${at}.class`), randomBytes(3_000));
    }
    execFileSync("/usr/bin/zip", ["-q", "-r", "-1", "app.war", "."], { cwd: folder });
    return new Uint8Array(readFileSync(join(folder, "app.war")));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
