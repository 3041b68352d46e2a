import { expect, test } from "vitest";
import { isMadeByWaybill, isReadableBy, parseImageName } from "../../contract/image-reference.ts";

const DIGEST = `sha256:${"a".repeat(64)}`;
const name = (registry: string | undefined, path: string, tag?: string, digest?: string) => ({
  ...{ registry, path, tag, digest },
});

test.each([
  ["nginx", name(undefined, "nginx")],
  ["nginx:1.27", name(undefined, "nginx", "1.27")],
  [`nginx@${DIGEST}`, name(undefined, "nginx", undefined, DIGEST)],
  [`nginx:1.27@${DIGEST}`, name(undefined, "nginx", "1.27", DIGEST)],
  ["team/api", name(undefined, "team/api")],
  ["team/group/api:x", name(undefined, "team/group/api", "x")],
  ["a_b/c__d", name(undefined, "a_b/c__d")],
  ["registry.example.com/api", name("registry.example.com", "api")],
  ["registry:5000/api", name("registry:5000", "api")],
  ["localhost/api", name("localhost", "api")],
  ["Registry.Example.com/team/api", name("Registry.Example.com", "team/api")],
  ["127.0.0.1:7070/library/nginx", name("127.0.0.1:7070", "library/nginx")],
  ["[::1]:5000/api", name("[::1]:5000", "api")],
  ["localhost:5000", name(undefined, "localhost", "5000")],
])("%s is an image's name", (text, parts) => {
  expect(parseImageName(text)).toEqual(parts);
});

test.each([
  ...["", "-x", "UPPER/x", "x/UPPER", "a//b", "/a", "a/", "a b", "a\n", "a:", "a@", "a:b:c"],
  ...["x@sha256:zz", "x@sha512:00", `x@${DIGEST.toUpperCase()}`, `x@${DIGEST}:tag`],
  ...["docker://nginx", "docker://x/nginx", "oci-archive:/etc", "dir:/", "dir:/etc/passwd"],
  ...["https://registry.example.com/api", "user:word@registry.example.com/api"],
  ...["registry.example.com:99999/api", "registry.example.com:x/api", "a..b/../c", "../etc"],
  ...["_x", "x_", "x.-y", "x___y", `x:${"t".repeat(129)}`, "a".repeat(300), "ｎginx", "x\0y"],
])("%j is none", (text) => {
  expect(parseImageName(text)).toBeUndefined();
});

test("no long name keeps the parser busy", () => {
  for (const part of ["a-", "a.", "a_", "a/", "a", "1:", "--"]) {
    expect(parseImageName(`${part.repeat(127)}!`)).toBeUndefined();
  }
});

test.each<[string, boolean, boolean]>([
  ["library/nginx", false, true],
  ["team/api", false, true],
  ["application/x", false, true],
  ["base/tomcat", true, true],
  ["mirror/docker.io/library/nginx", true, true],
  ["apps/shop/web", true, true],
  ["apps/other/web", true, false],
  ["apps", true, false],
  ["artifacts/shop", true, true],
  ["artifacts/other", true, false],
  ["artifacts/shopping", true, false],
])("%s is made by Waybill: %s; the project shop may read it: %s", (repository, made, readable) => {
  expect(isMadeByWaybill(repository)).toBe(made);
  expect(isReadableBy("shop", repository)).toBe(readable);
});
