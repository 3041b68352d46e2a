import { expect, test } from "vitest";
import { Digest } from "../../../contract/ids.ts";
import {
  appendLayers,
  configDigest,
  emptyImage,
  imageDocuments,
  readImage,
} from "../../../worker/build/image.ts";
import { tomcatWarRun, webappFolder } from "../../../worker/build/recipe/tomcat-war.ts";

const digest = (letter: string) => Digest.parse(`sha256:${letter.repeat(64)}`);
const layer = (letter: string, bytes: number) => ({ digest: digest(letter), bytes });
const RUN = tomcatWarRun("10.1");

test("an app's layers lie on the base's, in order, each with its diff id", () => {
  const base = appendLayers(emptyImage("amd64"), [layer("a", 100)]);

  const image = appendLayers(base, [layer("b", 20), layer("c", 3)]);

  expect(image.layers.map(({ digest, size }) => [digest, size])).toEqual([
    [digest("a"), 100],
    [digest("b"), 20],
    [digest("c"), 3],
  ]);
  expect(image.diffIds).toEqual([digest("a"), digest("b"), digest("c")]);
  expect(base.layers).toHaveLength(1);
});

test("the documents of an image are the same bytes whenever and wherever they are made", () => {
  const { config, manifest } = imageDocuments(
    appendLayers(emptyImage("amd64"), [layer("a", 100)]),
    RUN,
  );

  expect(JSON.parse(config.bytes.toString())).toMatchInlineSnapshot(`
    {
      "architecture": "amd64",
      "config": {
        "Entrypoint": [
          "/usr/bin/java",
          "@/srv/tomcat/conf/java.args",
          "org.apache.catalina.startup.Bootstrap",
          "start",
        ],
        "Env": [
          "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
          "LANG=C.UTF-8",
        ],
        "ExposedPorts": {
          "8080/tcp": {},
        },
        "Labels": {
          "org.opencontainers.image.base.name": "base/tomcat:10.1",
          "org.opencontainers.image.title": "A WAR on Tomcat",
        },
        "StopSignal": "SIGTERM",
        "User": "10001:10001",
        "WorkingDir": "/srv/tomcat",
      },
      "history": [
        {
          "created_by": "waybill",
        },
      ],
      "os": "linux",
      "rootfs": {
        "diff_ids": [
          "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ],
        "type": "layers",
      },
    }
  `);
  expect(JSON.parse(manifest.bytes.toString())).toMatchInlineSnapshot(`
    {
      "config": {
        "digest": "sha256:76e909488275bec60ee920906642f2513bf8b310c7e760196bfd0948927b2f28",
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "size": 619,
      },
      "layers": [
        {
          "digest": "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
          "mediaType": "application/vnd.oci.image.layer.v1.tar",
          "size": 100,
        },
      ],
      "mediaType": "application/vnd.oci.image.manifest.v1+json",
      "schemaVersion": 2,
    }
  `);
});

test("a base's variables stay, and its labels do not", () => {
  const foreign = {
    architecture: "arm64",
    os: "linux",
    config: { Env: ["PATH=/bin", "A=1=2"], Labels: { "some.vendor": "x" }, User: "root" },
    rootfs: { type: "layers", diff_ids: [digest("d")] },
  };
  const manifest = {
    config: { mediaType: "c", digest: digest("e"), size: 1 },
    layers: [
      { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: digest("f"), size: 9 },
    ],
  };
  const bytes = Buffer.from(JSON.stringify(manifest));

  const base = readImage(bytes, Buffer.from(JSON.stringify(foreign)));
  const made = imageDocuments(appendLayers(base, [layer("b", 5)]), { ...RUN, env: { B: "3" } });

  expect(configDigest(bytes)).toBe(digest("e"));
  const config = JSON.parse(made.config.bytes.toString());
  expect(config.architecture).toBe("arm64");
  expect(config.config.Env).toEqual(["PATH=/bin", "A=1=2", "B=3"]);
  expect(config.config.User).toBe("10001:10001");
  expect(JSON.stringify(config)).not.toContain("some.vendor");
  expect(config.rootfs.diff_ids).toEqual([digest("d"), digest("b")]);
});

test.each([
  ["/", "srv/tomcat/webapps/ROOT"],
  ["/shop", "srv/tomcat/webapps/shop"],
  ["/foo/bar", "srv/tomcat/webapps/foo#bar"],
])("a WAR at the context path %s lies in %s", (contextPath, folder) => {
  expect(webappFolder(contextPath)).toBe(folder);
});

test.each(["/..", "/a/../b", "/a b", "/a#b", "/.hidden"])(
  "the context path %s never becomes a folder",
  (contextPath) => {
    expect(() => webappFolder(contextPath)).toThrow("is not a context path");
  },
);
