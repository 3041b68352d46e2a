import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { hasKind, parseAppSpec } from "../../contract/app/parse-app-spec.ts";
import { parseDocumentText } from "../../contract/document/document.ts";
import { canonicalJson } from "../../contract/pod/pod.ts";

const container = { name: "web", image: "nginx" };
const podDocument = (name: string, spec: object = { containers: [container] }) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name },
  spec,
});
const errorsOf = (document: unknown) => {
  const parsed = parseAppSpec(document);
  return parsed.ok ? [] : parsed.errors.map(({ pointer, message }) => `${pointer}: ${message}`);
};
const example = (name: string, document = 0) => {
  const text = readFileSync(new URL(`../../examples/${name}`, import.meta.url), "utf8");
  return parseDocumentText(text.split(/^---$/m)[document] ?? "", "yaml");
};

test("the mistakes of helloworld.yaml are named, all four and no other", () => {
  expect(errorsOf(example("helloworld.yaml"))).toEqual([
    "/spec/containers/2/volumeMounts/0/mountPath: is missing: string expected",
    "/spec/containers/3/volumeMounts/0/mountPath: is missing: string expected",
    '/spec/containers/2/volumeMounts/0/name: the pod declares no volume "log-storage"',
    '/spec/containers/3/volumeMounts/0/name: the pod declares no volume "data-storage"',
  ]);
});

test("two-containers.yaml is an app of its name, where its host path is allowed", () => {
  const document = example("two-containers.yaml");

  const parsed = parseAppSpec(document, { paths: ["/data"], ports: [] });

  expect(parsed).toMatchObject({
    ok: true,
    podAt: "/spec",
    value: {
      name: "two-containers",
      replicas: 1,
      http: {},
      pod: {
        spec: { restartPolicy: "Never", containers: [{ image: "nginx" }, { image: "debian" }] },
      },
    },
  });
  expect(parseAppSpec(document, { paths: ["/srv", "/database"], ports: [] })).toEqual({
    ok: false,
    errors: [
      {
        pointer: "/spec/volumes/0/hostPath/path",
        message: "host-paths: /data is not allowed; the operator allows: /srv, /database",
      },
    ],
  });
});

test("an app asks of its nodes what its pod does not, and nothing that the pod asks otherwise", () => {
  const spec = { containers: [container], nodeSelector: { disk: "ssd", "example.com/zone": "a" } };
  const asking = (nodeSelector: object) =>
    errorsOf({ name: "web", pod: spec, placement: { nodeSelector } });

  expect(asking({ disk: "ssd", pool: "x", constructor: "y" })).toEqual([]);
  expect(asking({ disk: "hdd", "example.com/zone": "b" })).toEqual([
    "/placement/nodeSelector/disk: no node has both: the pod's own nodeSelector asks for disk=ssd",
    "/placement/nodeSelector/example.com~1zone: no node has both: the pod's own nodeSelector asks for example.com/zone=a",
  ]);
});

test("the example with an init container, a sidecar and a config map is right", () => {
  expect(errorsOf(example("web-with-log-shipper.yaml", 1))).toEqual([]);
});

test("a pod is written as a whole document, under `pod`, or as what stands below its spec", () => {
  const whole = parseAppSpec(podDocument("shop"));
  const under = parseAppSpec({ name: "shop", pod: podDocument("shop") });
  const bare = parseAppSpec({ name: "shop", pod: { containers: [container] } });

  expect(whole.ok && under.ok && bare.ok).toBe(true);
  expect(under).toMatchObject({ value: whole.ok ? whole.value : {}, podAt: "/pod/spec" });
  expect(bare).toMatchObject({ value: whole.ok ? whole.value : {}, podAt: "/pod" });
});

test.each([
  ["a whole document", podDocument("shop", { containers: [{ nme: "web" }] }), "/spec"],
  [
    "under pod",
    { name: "shop", pod: podDocument("shop", { containers: [{ nme: "web" }] }) },
    "/pod/spec",
  ],
  ["bare", { name: "shop", pod: { containers: [{ nme: "web" }] } }, "/pod"],
])("pointers are those of the document as it was written: %s", (_what, document, at) => {
  expect(errorsOf(document)).toEqual([
    `${at}/containers/0/name: is missing: string expected`,
    expect.stringMatching(`^${at}/containers/0/image: is missing`),
    `${at}/containers/0/nme: unknown field; did you mean "name"?`,
  ]);
});

test("a pod's own name is the app's", () => {
  expect(errorsOf({ name: "shop", pod: podDocument("store") })).toEqual([
    '/pod/metadata/name: must be "shop", as the app is named',
  ]);
});

test("an app has one source, and is told which there are", () => {
  expect(errorsOf({ name: "shop" })).toEqual([': needs a source: one of "war", "image" and "pod"']);
  expect(errorsOf({ name: "shop", image: "nginx", pod: { containers: [container] } })).toEqual([
    '/pod: an app has one source, and "image" is here already',
  ]);
  expect(errorsOf({ name: "shop", git: { url: "x" } })).toEqual(["/git: not supported yet"]);
  expect(errorsOf({ name: "shop", image: "nginx", static: {} })).toEqual([
    "/static: not supported yet",
  ]);
  expect(errorsOf({ name: "shop", imge: "nginx" })).toContain(
    '/imge: unknown field; did you mean "image"?',
  );
});

test("a field of another source is refused with a word where it belongs", () => {
  expect(errorsOf({ name: "shop", image: "nginx", tomcat: {} })).toEqual([
    '/tomcat: only an app of the source "war" has this',
  ]);
  expect(errorsOf({ name: "shop", pod: { containers: [container] }, env: { A: "1" } })).toEqual([
    "/env: not taken with a pod: its containers say it themselves",
  ]);
});

test("an image is enough: every default is filled in", () => {
  expect(parseAppSpec({ name: "shop", image: "registry.example.com/team/api:1.4" })).toMatchObject({
    ok: true,
    value: {
      name: "shop",
      image: "registry.example.com/team/api:1.4",
      replicas: 1,
      resources: { cpu: "500m", memory: "512Mi" },
      env: {},
      http: {},
    },
  });
});

test.each([
  ["Deployment", "put the pod template's spec under"],
  ["CronJob", "restartPolicy Never or OnFailure"],
  ["Service", "answers at its own address"],
  ["List", "separated by ---"],
  ["ConfigMap", "POST /v1/apply"],
  ["Secret", "POST /v1/apply"],
  ["Potato", "Pod, ConfigMap and Secret"],
  [7, "is no kind"],
])("a document of the kind %s is refused with what helps", (kind, words) => {
  const document = { apiVersion: "apps/v1", kind, metadata: { name: "shop" }, spec: {} };

  expect(hasKind(document)).toBe(true);
  expect(errorsOf(document)).toEqual([expect.stringContaining(`/kind: `)]);
  expect(errorsOf(document)[0]).toContain(words);
});

test("quantities may be numbers, and stay as they were written, as text", () => {
  const parsed = parseAppSpec({
    name: "shop",
    pod: {
      containers: [
        {
          ...container,
          resources: { requests: { cpu: 2 }, limits: { cpu: "2.0", memory: 1073741824 } },
        },
      ],
    },
  });

  expect(parsed).toMatchObject({
    value: {
      pod: {
        spec: {
          containers: [
            {
              resources: {
                requests: { cpu: "2", memory: "1073741824" },
                limits: { cpu: "2.0", memory: "1073741824" },
              },
            },
          ],
        },
      },
    },
  });
});

test("a container may ask for nothing, and is bounded all the same", () => {
  const resources = (it: object) => {
    const parsed = parseAppSpec({
      name: "shop",
      pod: { containers: [{ ...container, resources: it }] },
    });
    return parsed.ok && "pod" in parsed.value
      ? parsed.value.pod.spec.containers[0]?.resources
      : parsed;
  };

  expect(resources({ requests: { cpu: 0, memory: "0" } })).toEqual({
    requests: { cpu: "0", memory: "0" },
    limits: { memory: "256Mi" },
  });
  expect(resources({ limits: { cpu: 1, memory: "64Mi" } })).toEqual({
    requests: { cpu: "1", memory: "64Mi" },
    limits: { cpu: "1", memory: "64Mi" },
  });
  expect(resources({ limits: { memory: 0 } })).toMatchObject({ ok: false });
  expect(resources({ requests: { cpu: "-1" } })).toMatchObject({ ok: false });
});

test("what a field must be is said in plain words", () => {
  expect(
    errorsOf({
      name: "shop",
      replicas: 101,
      pod: {
        containers: "web",
        restartPolicy: "Sometimes",
        shareProcessNamespace: "yes",
        terminationGracePeriodSeconds: 1.5,
        nodeSelector: { disk: 1 },
      },
    }),
  ).toEqual([
    "/replicas: must be at most 100",
    "/pod/containers: must be a list",
    '/pod/restartPolicy: must be "Always" or "OnFailure" or "Never"',
    "/pod/terminationGracePeriodSeconds: must be a whole number",
    "/pod/shareProcessNamespace: must be true or false",
    "/pod/nodeSelector/disk: must be a text: put it in quotes",
  ]);
});

test.each([
  ["a WAR", { name: "shop", war: { artifact: `sha256:${"a".repeat(64)}` } }],
  ["an image", { name: "shop", image: "nginx", http: { port: 80, health: {} } }],
  ["two containers", example("two-containers.yaml")],
  ["a pod of everything", example("web-with-log-shipper.yaml", 1)],
])("what is stored reads back as itself: %s", (_what, document) => {
  const first = parseAppSpec(document);
  const again = parseAppSpec(first.ok ? JSON.parse(JSON.stringify(first.value)) : undefined);

  expect(again.ok && canonicalJson(again.value)).toBe(first.ok && canonicalJson(first.value));
});

test.each([null, [], "pod", 7, true, undefined, { pod: null }, { pod: [] }, { name: "a", pod: 1 }])(
  "%j is no app, and is told so",
  (document) => {
    expect(errorsOf(document).length).toBeGreaterThan(0);
  },
);
