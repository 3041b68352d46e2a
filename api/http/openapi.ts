import { z } from "zod";
import {
  AppDocument,
  AppSpec,
  ImageAppSpec,
  PodAppSpec,
  WarAppSpec,
} from "../../contract/app/app-spec.ts";
import { ContainerStatus, DesiredState, NodeReport } from "../../contract/node/protocol.ts";
import { Pod, PodDocument, PodSpec } from "../../contract/pod/pod.ts";
import { Lifecycle, Probe } from "../../contract/pod/probe.ts";
import { PROBLEMS } from "../../contract/problem.ts";
import {
  AppAnswer,
  DeclareAnswer,
  DryRunAnswer,
  PodAnswer,
  ReleaseAnswer,
} from "../apps/answers.ts";
import { NoQuery } from "./query.ts";
import { type Census, PEOPLE, type Route, route, scopesOf } from "./route.ts";

type Schemas = Map<string, unknown>;

const NAMES = z.registry<{ id: string }>();
for (const [id, schema] of Object.entries({
  AppDocument,
  AppSpec,
  WarAppSpec,
  ImageAppSpec,
  PodAppSpec,
  PodDocument,
  PodSpec,
  ContainerStatus,
  DeclareAnswer,
  DesiredState,
  DryRunAnswer,
  AppAnswer,
  NodeReport,
  Lifecycle,
  Pod,
  PodAnswer,
  Probe,
  ReleaseAnswer,
})) {
  NAMES.add(schema, { id });
}

const Document = z.record(z.string(), z.unknown());

/** The route that serves the description of `routes`, its own included. */
export function openapiRoute(routes: readonly Census[]): Route {
  const own: Route = route({
    method: "GET",
    path: "/v1/openapi.json",
    auth: PEOPLE,
    scope: null,
    project: "installation",
    audit: null,
    bodyLimit: 0,
    summary: "This document",
    query: NoQuery,
    answers: { 200: Document },
    handle: async (call) => call.c.json(openapi([...routes, own])),
  });
  return own;
}

/** An OpenAPI 3.1 document, made of the schemas that check the requests. */
export function openapi(routes: readonly Census[]): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  const schemas: Schemas = new Map();
  for (const census of routes) {
    const path = census.path.replace(/:(\w+)/g, "{$1}").replace("*", "{path}");
    paths[path] = {
      ...paths[path],
      [census.method.toLowerCase()]: operation(census, path, schemas),
    };
  }
  return {
    openapi: "3.1.0",
    info: { title: "Waybill", version: "v1", description: "Declare what should run; it runs." },
    paths,
    components: {
      securitySchemes: { token: { type: "http", scheme: "bearer" } },
      schemas: { Problem: problemSchema(), ...Object.fromEntries([...schemas].sort()) },
      responses: {
        Problem: {
          description: "What was wrong, as RFC 9457 says it",
          content: {
            "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } },
          },
        },
      },
    },
  };
}

function operation(census: Census, path: string, schemas: Schemas) {
  return {
    summary: census.summary,
    security: census.auth === "open" ? [] : securityOf(census),
    parameters: [...pathParameters(path), ...queryParameters(census, schemas), ...headers(census)],
    ...(census.body && {
      requestBody: {
        required: census.body === "bytes" || !census.body.safeParse({}).success,
        content: bodyContent(census.body, schemas),
      },
    }),
    responses: {
      ...Object.fromEntries(
        Object.entries(census.answers).map(([status, schema]) => [status, answer(schema, schemas)]),
      ),
      default: { $ref: "#/components/responses/Problem" },
    },
  };
}

/** Each of the list is enough by itself. */
function securityOf(census: Census) {
  const scopes = scopesOf(census);
  return scopes.length === 0 ? [{ token: [] }] : scopes.map((it) => ({ token: [it] }));
}

function pathParameters(path: string) {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
}

function queryParameters({ query }: Census, schemas: Schemas) {
  return Object.entries(query.shape).map(([name, schema]) => ({
    name,
    in: "query",
    required: false,
    schema: jsonSchema(schema as z.ZodType, "input", schemas),
  }));
}

function headers({ method, auth }: Census) {
  if (method !== "POST" || auth === "open" || !auth.includes("personal")) return [];
  const schema = { type: "string", minLength: 1, maxLength: 255 };
  return [{ name: "Idempotency-Key", in: "header", required: false, schema }];
}

function bodyContent(body: NonNullable<Census["body"]>, schemas: Schemas) {
  if (body === "bytes") return { "application/octet-stream": {} };
  const schema = jsonSchema(body, "input", schemas);
  return { "application/json": { schema }, "application/yaml": { schema } };
}

function answer(schema: z.ZodType | string, schemas: Schemas) {
  if (typeof schema === "string") return { description: schema };
  const content = { "application/json": { schema: jsonSchema(schema, "output", schemas) } };
  return { description: "Done", content };
}

function problemSchema() {
  const types = Object.keys(PROBLEMS).map((slug) => `/problems/${slug}`);
  return {
    type: "object",
    required: ["type", "title", "status", "detail"],
    properties: {
      type: { type: "string", enum: types },
      title: { type: "string" },
      status: { type: "integer" },
      detail: { type: "string" },
      errors: {
        type: "array",
        items: {
          type: "object",
          required: ["pointer", "message"],
          properties: { pointer: { type: "string" }, message: { type: "string" } },
        },
      },
    },
  };
}

/**
 * The schema, with every named one in it by reference. What people send (defaults left out) and what
 * they get (defaults filled in) are two schemas of one name.
 */
function jsonSchema(schema: z.ZodType, io: "input" | "output", schemas: Schemas): unknown {
  const whole = z.toJSONSchema(z.object({ it: schema }), {
    io,
    metadata: NAMES,
    unrepresentable: "any",
  });
  const prefix = `#/components/schemas/${io === "input" ? "Given" : ""}`;
  const moved = JSON.parse(JSON.stringify(whole).replaceAll("#/$defs/", prefix));
  for (const [name, definition] of Object.entries(moved.$defs ?? {})) {
    const { id: _, ...rest } = definition as { id?: unknown };
    schemas.set(`${io === "input" ? "Given" : ""}${name}`, rest);
  }
  return moved.properties.it;
}
