import { expect, test } from "vitest";
import { readConfig } from "../../../../worker/build/images/config.ts";
import { type ImageUse, readManifest } from "../../../../worker/build/images/manifest.ts";
import { ImageRefused } from "../../../../worker/build/images/problem.ts";

const AMD64 = { os: "linux", architecture: "amd64" };
const OCI = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";
const DOCKER = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip";

const digest = (letter: string) => `sha256:${letter.repeat(64)}`;
const layer = (rest: object = {}) => ({
  ...{ mediaType: OCI_LAYER, digest: digest("b"), size: 10 },
  ...rest,
});
const manifest = (rest: object = {}) => ({
  schemaVersion: 2,
  mediaType: OCI,
  config: { mediaType: OCI_CONFIG, digest: digest("a"), size: 2 },
  layers: [layer()],
  ...rest,
});
const entry = (os: string, architecture: string, letter: string, rest: object = {}) => ({
  mediaType: OCI,
  digest: digest(letter),
  size: 500,
  platform: { os, architecture, ...rest },
});
const index = (manifests: readonly object[], rest: object = {}) => ({
  schemaVersion: 2,
  mediaType: OCI_INDEX,
  manifests,
  ...rest,
});

const read = (document: unknown, announced?: string, use: ImageUse = "container") =>
  readManifest(Buffer.from(JSON.stringify(document)), announced, use, AMD64);

function refusal(run: () => unknown): { slug: string; message: string } {
  try {
    run();
  } catch (error) {
    if (error instanceof ImageRefused) return { slug: error.slug, message: error.message };
    throw error;
  }
  return expect.fail("nothing was refused");
}

test.each<[string, object, string | undefined]>([
  ["an OCI manifest", manifest(), OCI],
  ["one that does not say what it is", manifest({ mediaType: undefined }), OCI],
  ["one that came as JSON", manifest(), "application/json; charset=utf-8"],
  [
    "Docker's schema 2",
    manifest({
      mediaType: DOCKER,
      config: { mediaType: DOCKER_CONFIG, digest: digest("a"), size: 2 },
      layers: [layer({ mediaType: DOCKER_LAYER })],
    }),
    DOCKER,
  ],
  ["one without a layer", manifest({ layers: [] }), OCI],
])("%s is taken", (_, document, announced) => {
  expect(read(document, announced)).toMatchObject({ kind: "manifest" });
});

test("an index gives the manifest of this platform, without a variant where there is one", () => {
  const manifests = [
    entry("windows", "amd64", "1"),
    entry("linux", "arm64", "2"),
    entry("linux", "amd64", "3", { variant: "v3" }),
    entry("linux", "amd64", "4"),
    entry("unknown", "unknown", "5"),
  ];

  expect(read(index(manifests))).toEqual({ kind: "index", chosen: digest("4") });
  expect(read(index(manifests, { mediaType: DOCKER_LIST }))).toMatchObject({ kind: "index" });
});

test.each<[string, unknown, string | undefined, string]>([
  ["no JSON object", [], OCI, "cannot be read"],
  ["schema 1", { schemaVersion: 1, fsLayers: [] }, undefined, "schema 1"],
  ["another kind", manifest({ mediaType: "text/html" }), undefined, "is not taken"],
  ["a kind that it did not come as", manifest(), OCI_INDEX, "came as"],
  ["a manifest that is an index as well", manifest({ manifests: [] }), OCI, "cannot be read"],
  ["an index that has layers", index([], { layers: [] }), OCI_INDEX, "cannot be read"],
  [
    "an index of indexes",
    index([{ ...entry("linux", "amd64", "1"), mediaType: OCI_INDEX }]),
    OCI_INDEX,
    "another index",
  ],
  [
    "an index without an end",
    index(Array(1_001).fill(entry("linux", "arm64", "1"))),
    OCI_INDEX,
    "1001",
  ],
  ["too many layers", manifest({ layers: Array(501).fill(layer()) }), OCI, "501 layers"],
  ["a foreign layer", manifest({ layers: [layer({ urls: ["https://x"] })] }), OCI, "foreign"],
  [
    "a layer that may not be passed on",
    manifest({
      layers: [layer({ mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar" })],
    }),
    OCI,
    "foreign",
  ],
  ["a layer of no layer's kind", manifest({ layers: [layer({ mediaType: "a/b" })] }), OCI, '"a/b"'],
  [
    "a config of another family",
    manifest({ config: { mediaType: DOCKER_CONFIG, digest: digest("a"), size: 2 } }),
    OCI,
    "config",
  ],
  ["a negative size", manifest({ layers: [layer({ size: -1 })] }), OCI, "size"],
  ["a size that is no number", manifest({ layers: [layer({ size: "10" })] }), OCI, "size"],
  ["a digest that is none", manifest({ layers: [layer({ digest: "sha256:zz" })] }), OCI, "digest"],
])("%s is refused", (_, document, announced, words) => {
  expect(refusal(() => read(document, announced))).toEqual({
    slug: "image-manifest-invalid",
    message: expect.stringContaining(words),
  });
});

test("an image that is too large, or made for other machines, is refused by what it is", () => {
  const vast = manifest({ layers: [layer({ size: 9 * 1024 ** 3 })] });
  const other = index([entry("linux", "arm64", "1"), entry("linux", "s390x", "2")]);

  expect(refusal(() => read(vast)).slug).toBe("image-too-large");
  expect(refusal(() => read(other))).toEqual({
    slug: "image-platform-missing",
    message: 'it is not made for linux/amd64, but for "linux/arm64", "linux/s390x"',
  });
});

test("what is mounted and never run may be any artifact, but lies in one place as well", () => {
  const artifact = manifest({
    config: { mediaType: "application/vnd.oci.empty.v1+json", digest: digest("a"), size: 2 },
    layers: [layer({ mediaType: "text/css" })],
  });

  expect(read(artifact, OCI, "volume")).toMatchObject({ kind: "manifest" });
  expect(refusal(() => read(artifact, OCI, "container")).slug).toBe("image-manifest-invalid");
  const foreign = { ...artifact, layers: [layer({ urls: ["https://x"] })] };
  expect(refusal(() => read(foreign, OCI, "volume")).message).toContain("foreign");
});

const config = (settings: object, rest: object = {}) =>
  Buffer.from(
    JSON.stringify({
      ...{ ...AMD64, config: settings, rootfs: { type: "layers", diff_ids: [digest("c")] } },
      ...rest,
    }),
  );

test("the ports that an image exposes are read, TCP only and the lowest first", () => {
  const ExposedPorts = { "9000/tcp": {}, "53/udp": {}, "80": {}, "0/tcp": {}, "70000/tcp": {} };

  expect(readConfig(config({ ExposedPorts }), 1, AMD64)).toEqual({ tcpPorts: [80, 9_000] });
  expect(readConfig(config({ ExposedPorts: null, User: null }), 1, AMD64).tcpPorts).toEqual([]);
});

test.each<[string, object, string]>([
  [
    "a label of containerd's",
    { Labels: { "containerd.io/restart.loguri": "binary:///x" } },
    "label",
  ],
  ["a label of its CRI part", { Labels: { "io.cri-containerd.kind": "sandbox" } }, "label"],
  ["a working directory of the kernel's", { WorkingDir: "/proc/self/fd/8" }, "working directory"],
  ["a user beyond all users", { User: "4294967296:0" }, "no user"],
  ["a volume that is everything", { Volumes: { "/": {} } }, "volume"],
])("an image with %s is refused", (_, settings, words) => {
  expect(refusal(() => readConfig(config(settings), 1, AMD64))).toEqual({
    slug: "image-config-refused",
    message: expect.stringContaining(words),
  });
});

test("a config that does not go with its manifest, or with the nodes, is refused", () => {
  expect(refusal(() => readConfig(config({}), 2, AMD64)).slug).toBe("image-manifest-invalid");
  expect(refusal(() => readConfig(config({}, { architecture: "arm64" }), 1, AMD64)).slug).toBe(
    "image-platform-missing",
  );
  expect(refusal(() => readConfig(Buffer.from("<html>"), 1, AMD64)).slug).toBe(
    "image-manifest-invalid",
  );
});
