import { expect, test } from "vitest";
import { parseAppSpec } from "../../contract/app/parse-app-spec.ts";

const artifact = `sha256:${"a".repeat(64)}`;

test("a name and a WAR are enough: every default is filled in", () => {
  expect(parseAppSpec({ name: "shop", war: { artifact } })).toEqual({
    ok: true,
    podAt: "",
    value: {
      name: "shop",
      war: { artifact, contextPath: "/", packaging: "image" },
      tomcat: { version: "10.1", options: [] },
      replicas: 1,
      singleton: false,
      resources: { cpu: "500m", memory: "512Mi" },
      env: {},
      http: { port: 8080 },
      placement: { nodeSelector: {}, spreadBy: "kubernetes.io/hostname" },
      rollout: { maxSurge: 1, progressDeadline: "300s", autoRevert: true },
    },
  });
});

test("every mistake is named at once, each with its pointer", () => {
  const parsed = parseAppSpec({
    name: "Shop_",
    war: { artifact: "latest", packging: "image" },
    image: "nginx",
    replcas: 2,
    resources: { memory: "5 potatoes", cpu: "0" },
    rollout: { progressDeadline: "soon" },
    env: { "A-B": "x" },
    placement: { nodeSelector: { disk: "fast one" }, spreadBy: "/zone", spreadby: "zone" },
  });

  expect(
    parsed.ok ? [] : parsed.errors.map(({ pointer, message }) => `${pointer}: ${message}`),
  ).toEqual([
    expect.stringMatching("^/name: must be 1 to 40 characters"),
    "/placement/nodeSelector/disk: must be a label's value",
    "/placement/spreadBy: must be a label's name",
    '/placement/spreadby: unknown field; did you mean "spreadBy"?',
    expect.stringMatching("^/rollout/progressDeadline: must be a duration"),
    expect.stringMatching("^/war/artifact: must be sha256:"),
    '/war/packging: unknown field; did you mean "packaging"?',
    expect.stringMatching("^/resources/cpu: must be a CPU quantity"),
    expect.stringMatching("^/resources/memory: must be a memory quantity"),
    expect.stringMatching("^/env/A-B: "),
    '/replcas: unknown field; did you mean "replicas"?',
    '/image: an app has one source, and "war" is here already',
  ]);
});

test.each([
  [{ war: { artifact, packaging: "artifact" } }, "/war/packaging"],
  [{ war: { artifact, url: "https://example.com/a.war" } }, "/war/url"],
  [{ war: { artifact }, domains: ["shop.example.com"] }, "/domains"],
  [{ war: { artifact }, scale: { min: 0 } }, "/scale"],
  [{ war: { artifact }, http: { port: 9090 } }, "/http/port"],
])("what is not built yet is refused by name: %j", (spec, pointer) => {
  const parsed = parseAppSpec({ name: "shop", ...spec });

  expect(parsed).toMatchObject({
    ok: false,
    errors: [{ pointer, message: expect.stringContaining("not supported yet") }],
  });
});

test("a memory that no Tomcat starts in is refused with the least that it needs", () => {
  expect(
    parseAppSpec({ name: "shop", war: { artifact }, resources: { memory: "64Mi" } }),
  ).toMatchObject({
    ok: false,
    errors: [{ pointer: "/resources/memory", message: "a Tomcat needs at least 256Mi" }],
  });
});

test.each([
  ["24h", []],
  ["86401s", [{ pointer: "/rollout/progressDeadline", message: "must be at most 24h" }]],
])("a rollout may take a day without progress and no longer: %s", (progressDeadline, errors) => {
  const parsed = parseAppSpec({ name: "shop", war: { artifact }, rollout: { progressDeadline } });

  expect(parsed.ok ? [] : parsed.errors).toEqual(errors);
});

test.each(["../x", "-rf", "a/b", "A", "a_b", ".", "a-", "", "x".repeat(41), "é", "1a"])(
  "%j is no name",
  (name) => {
    expect(parseAppSpec({ name, war: { artifact } })).toMatchObject({
      ok: false,
      errors: [{ pointer: "/name" }],
    });
  },
);

test.each(["shop", "/shop/", "//", "/../x", "/a b", "/%2e%2e", "/a#b", "/."])(
  "%j is no context path",
  (contextPath) => {
    expect(parseAppSpec({ name: "shop", war: { artifact, contextPath } })).toMatchObject({
      ok: false,
      errors: [{ pointer: "/war/contextPath" }],
    });
  },
);

test("a source that is not there is named as missing", () => {
  expect(parseAppSpec({ name: "shop" })).toMatchObject({
    ok: false,
    errors: [{ pointer: "", message: 'needs a source: one of "war", "image" and "pod"' }],
  });
});

test("a singleton runs once or not at all", () => {
  const app = { name: "shop", war: { artifact }, singleton: true };

  expect(parseAppSpec({ ...app, replicas: 0 }).ok).toBe(true);
  expect(parseAppSpec({ ...app, replicas: 2 })).toEqual({
    ok: false,
    errors: [{ pointer: "/replicas", message: "must be 0 or 1: a singleton never runs twice" }],
  });
});
