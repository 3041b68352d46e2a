import { expect, test } from "vitest";
import { foldersDownTo, planLayers } from "../../../worker/build/layers.ts";
import { tarHeader } from "../../../worker/build/tar.ts";
import type { WarEntry } from "../../../worker/build/war-entries.ts";

function entry(name: string, kind: WarEntry["kind"] = "file"): WarEntry {
  return {
    kind,
    name,
    deflated: true,
    compressedBytes: 1,
    inflatedBytes: 1,
    crc32: 0,
    headerAt: 0,
    endsBy: 100,
  };
}

const shown = (entries: readonly WarEntry[]) =>
  planLayers(entries).map(({ name, items }) => [
    name,
    items.map(({ path, entry }) => (entry === undefined ? `${path}/` : path)),
  ]);

test("libraries, resources and classes are layers of their own, each with its folders and sorted", () => {
  const entries = [
    entry("index.jsp"),
    entry("WEB-INF/classes/b/B.class"),
    entry("WEB-INF/lib/z.jar"),
    entry("WEB-INF/classes", "directory"),
    entry("WEB-INF/web.xml"),
    entry("WEB-INF/lib/a.jar"),
    entry("WEB-INF/classes/A.class"),
    entry("empty", "directory"),
  ];
  const classes = ["WEB-INF/classes/A.class", "WEB-INF/classes/b/", "WEB-INF/classes/b/B.class"];

  expect(shown(entries)).toEqual([
    ["libraries", ["WEB-INF/", "WEB-INF/lib/", "WEB-INF/lib/a.jar", "WEB-INF/lib/z.jar"]],
    ["resources", ["WEB-INF/", "WEB-INF/web.xml", "empty/", "index.jsp"]],
    ["classes", ["WEB-INF/", "WEB-INF/classes/", ...classes]],
  ]);
  expect(foldersDownTo("srv/tomcat/ROOT")).toEqual(["srv", "srv/tomcat", "srv/tomcat/ROOT"]);
});

test("the order of the archive does not matter, and a layer without a thing is left out", () => {
  const entries = [entry("b.html"), entry("a.html"), entry("c/d.html")];

  expect(shown(entries)).toEqual(shown(entries.toReversed()));
  expect(shown(entries).map(([name]) => name)).toEqual(["resources"]);
});

test.each([
  ["a short name", "srv/a.html", 512],
  ["100 bytes", "x".repeat(100), 512],
  ["a long path that splits at a folder", `${"d".repeat(90)}/${"e".repeat(90)}`, 512],
  ["a long name", "x".repeat(101), 1_536],
  ["letters beyond ASCII", "grüße.html", 1_536],
])("%s takes no more header than it must", (_what, path, bytes) => {
  expect(tarHeader({ kind: "file", path, mode: 0o644, bytes: 0 })).toHaveLength(bytes);
});
