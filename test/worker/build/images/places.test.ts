import { hostname, networkInterfaces } from "node:os";
import { expect, test } from "vitest";
import { parseImageName } from "../../../../contract/image-reference.ts";
import { ownAddresses } from "../../../../worker/build/images/own-addresses.ts";
import { mirrorRepository, placesOf } from "../../../../worker/build/images/places.ts";

const reader = {
  project: "default",
  ownAddresses: ownAddresses([
    { host: "127.0.0.1", port: 7070 },
    { host: "waybill.example.com", port: 443 },
  ]),
};

/** "own:<repository>", or the URL of a registry and the repository there. */
function placesNamed(text: string): readonly string[] {
  const name = parseImageName(text) ?? expect.fail(`${text} is no image's name`);
  return placesOf(name, reader).map((place) =>
    place.kind === "own"
      ? `own:${place.repository}`
      : `${place.registry.url} ${place.repository} -> ${mirrorRepository(place)}`,
  );
}

const HUB = "https://registry-1.docker.io";

test.each<[string, readonly string[]]>([
  [
    "nginx",
    ["own:library/nginx", "own:nginx", `${HUB} library/nginx -> mirror/docker.io/library/nginx`],
  ],
  ["team/api:1.4", ["own:team/api", `${HUB} team/api -> mirror/docker.io/team/api`]],
  ["docker.io/nginx", [`${HUB} library/nginx -> mirror/docker.io/library/nginx`]],
  ["index.docker.io/team/api", [`${HUB} team/api -> mirror/docker.io/team/api`]],
  ["ghcr.io/a/b/c", ["https://ghcr.io a/b/c -> mirror/ghcr.io/a/b/c"]],
  [
    "Registry.Example.com:5000/api",
    ["https://registry.example.com:5000 api -> mirror/registry.example.com_5000/api"],
  ],
  ["localhost:5000/api", ["http://localhost:5000 api -> mirror/localhost_5000/api"]],
  ["localhost/api", ["http://localhost api -> mirror/localhost/api"]],
  ["127.0.0.2:5000/api", ["http://127.0.0.2:5000 api -> mirror/127.0.0.2_5000/api"]],
  ["[::1]:5000/api", ["http://[::1]:5000 api -> mirror/ip6.xx1_5000/api"]],
  ["10.0.0.1:5000/api", ["https://10.0.0.1:5000 api -> mirror/10.0.0.1_5000/api"]],
  ["127.0.0.1:7070/library/nginx", ["own:library/nginx"]],
  ["localhost:7070/nginx", ["own:nginx"]],
  ["127.9.9.9:7070/nginx", ["own:nginx"]],
  ["[::1]:7070/nginx", ["own:nginx"]],
  ["waybill.example.com:443/nginx", ["own:nginx"]],
  ["waybill.internal/base/tomcat", ["own:base/tomcat"]],
  ["127.0.0.1:7070/apps/default/shop", ["own:apps/default/shop"]],
  ["127.0.0.1:7070/apps/other/shop", []],
  ["waybill.internal/artifacts/other/x", []],
  ["apps/other", [`${HUB} apps/other -> mirror/docker.io/apps/other`]],
  ["mirror/x", [`${HUB} mirror/x -> mirror/docker.io/mirror/x`]],
])("%s is looked for at %j", (name, places) => {
  expect(placesNamed(name)).toEqual(places);
});

test("a name whose copy no registry would take is told apart", () => {
  const name = parseImageName(`ghcr.io/${"a".repeat(245)}`) ?? expect.fail();
  const [place] = placesOf(name, reader);

  expect(place?.kind === "elsewhere" && mirrorRepository(place)).toBeUndefined();
});

test("an api that listens on every address is this machine by each of its names", () => {
  const own = ownAddresses([{ host: "0.0.0.0", port: 7070 }]);
  const addresses = Object.values(networkInterfaces()).flatMap((them) => them ?? []);

  expect(own).toContain("localhost:7070");
  expect(own).toContain(`${hostname().toLowerCase()}:7070`);
  for (const { address, family } of addresses) {
    expect(own).toContain(`${family === "IPv6" ? `[${address}]` : address}:7070`);
  }
});
