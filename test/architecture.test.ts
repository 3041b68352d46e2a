import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { describe, expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "..");
const MAX_LINES = 300;

type Room = {
  /** Rooms that this one may import, besides itself. */
  readonly rooms: readonly string[];
  readonly packages: readonly string[];
  /** Whether Node.js' own modules may be imported; a list names the only files that may. */
  readonly node: boolean | readonly string[];
};

const ROOMS: Readonly<Record<string, Room>> = {
  contract: { rooms: [], packages: ["zod", "yaml"], node: false },
  kit: { rooms: [], packages: [], node: true },
  db: { rooms: ["contract", "kit"], packages: ["drizzle-orm", "postgres", "zod"], node: true },
  api: {
    rooms: ["contract", "kit", "db"],
    packages: ["hono", "zod", "@hono/node-server", "ws"],
    node: [
      "api/main.ts",
      "api/edge.ts",
      "api/node/outward-address.ts",
      "api/node/server.ts",
      "api/node/streaming-fetch.ts",
      "api/node/web-sockets.ts",
    ],
  },
  worker: {
    rooms: ["contract", "kit", "db"],
    packages: ["bullmq", "ioredis", "yauzl", "zod"],
    node: true,
  },
  "node-agent": {
    rooms: ["contract", "kit"],
    packages: ["@grpc/grpc-js", "@grpc/proto-loader", "zod"],
    node: true,
  },
  standalone: { rooms: ["kit"], packages: ["zod"], node: true },
};

type Source = {
  readonly path: string;
  readonly room: string;
  readonly text: string;
  readonly imports: readonly string[];
};

const sources: readonly Source[] = Object.keys(ROOMS).flatMap((room) =>
  readdirSync(join(ROOT, room), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => {
      const text = readFileSync(join(ROOT, room, file), "utf8");
      const imports = [...text.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map(
        (it) => it[1] ?? "",
      );
      return { path: posix.join(room, file), room, text, imports };
    }),
);

const without = (text: string) => text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");

describe.each(sources)("$path", ({ path, room, text, imports }) => {
  const rules = ROOMS[room] as Room;

  test("imports only what its room may", () => {
    const strangers = imports.filter((it) => {
      if (it.startsWith(".")) {
        const target = posix.join(posix.dirname(path), it).split("/")[0] ?? "";
        return target !== room && !rules.rooms.includes(target);
      }
      if (it.startsWith("node:")) {
        return rules.node === false || (Array.isArray(rules.node) && !rules.node.includes(path));
      }
      if (it.startsWith("cloudflare:")) return path !== "api/edge.ts";
      const name = it
        .split("/")
        .slice(0, it.startsWith("@") ? 2 : 1)
        .join("/");
      return !rules.packages.includes(name);
    });

    expect(strangers).toEqual([]);
  });

  test("names files with their extension and has no default export", () => {
    expect(imports.filter((it) => it.startsWith(".") && !/\.(ts|json)$/.test(it))).toEqual([]);
    expect(path).not.toMatch(/index\.ts$/);
    if (path !== "api/edge.ts") expect(text).not.toMatch(/^export default/m);
  });

  test("stays within one sitting's reading", () => {
    expect(text.trimEnd().split("\n").length).toBeLessThanOrEqual(MAX_LINES);
  });

  test("leaves the process's surroundings to those who own them", () => {
    const code = without(text);
    if (!/(^|\/)env\.ts$/.test(path)) expect(code).not.toMatch(/process\.env/);
    if (!/(^|\/)(main|down|env)\.ts$/.test(path)) expect(code).not.toMatch(/process\.exit\(/);
    if (room !== "kit") expect(imports).not.toContain("node:child_process");
    if (room !== "db") expect(code).not.toMatch(/\bsql`/);
  });
});

const deciders = sources.filter(({ path }) =>
  /(^|\/)((plan|report)(-[a-z-]+)?|filter|score|diagnose)\.ts$/.test(path),
);

test.each(deciders)("$path is pure", ({ text, imports }) => {
  const code = without(text);

  expect(imports.filter((it) => it.startsWith("node:"))).toEqual([]);
  expect(code).not.toMatch(/\basync\b|\bawait\b|Date\.now|new Date\(\)|Math\.random|fetch\(/);
});

test("every room that the rules name stands, and no other", () => {
  const helpers = ["test", "bench", "docs", "examples", "node_modules"];
  const rooms = readdirSync(ROOT, { withFileTypes: true })
    .filter((it) => it.isDirectory() && !it.name.startsWith(".") && !helpers.includes(it.name))
    .map((it) => it.name);

  expect(rooms.toSorted()).toEqual(Object.keys(ROOMS).toSorted());
});
