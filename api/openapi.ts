import { z } from "zod";
import { PROBLEMS } from "../contract/problem.ts";
import { NoQuery } from "./query.ts";
import { type Census, PEOPLE, type Route, route } from "./route.ts";

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
  for (const census of routes) {
    const path = census.path.replace(/:(\w+)/g, "{$1}").replace("*", "{path}");
    paths[path] = { ...paths[path], [census.method.toLowerCase()]: operation(census, path) };
  }
  return {
    openapi: "3.1.0",
    info: { title: "Waybill", version: "v1", description: "Declare what should run; it runs." },
    paths,
    components: {
      securitySchemes: { token: { type: "http", scheme: "bearer" } },
      schemas: { Problem: problemSchema() },
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

function operation(census: Census, path: string) {
  return {
    summary: census.summary,
    security: census.auth === "open" ? [] : [{ token: census.scope ? [census.scope] : [] }],
    parameters: [...pathParameters(path), ...queryParameters(census), ...headers(census)],
    ...(census.body && { requestBody: { required: true, content: bodyContent(census.body) } }),
    responses: {
      ...Object.fromEntries(
        Object.entries(census.answers).map(([status, schema]) => [status, answer(schema)]),
      ),
      default: { $ref: "#/components/responses/Problem" },
    },
  };
}

function pathParameters(path: string) {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
}

function queryParameters({ query }: Census) {
  return Object.entries(query.shape).map(([name, schema]) => ({
    name,
    in: "query",
    required: false,
    schema: jsonSchema(schema as z.ZodType),
  }));
}

function headers({ method, auth }: Census) {
  if (method !== "POST" || auth === "open" || !auth.includes("personal")) return [];
  const schema = { type: "string", minLength: 1, maxLength: 255 };
  return [{ name: "Idempotency-Key", in: "header", required: false, schema }];
}

function bodyContent(body: NonNullable<Census["body"]>) {
  if (body === "bytes") return { "application/octet-stream": {} };
  const schema = jsonSchema(body);
  return { "application/json": { schema }, "application/yaml": { schema } };
}

function answer(schema: z.ZodType | string) {
  if (typeof schema === "string") return { description: schema };
  const content = { "application/json": { schema: jsonSchema(schema, "output") } };
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

function jsonSchema(schema: z.ZodType, io: "input" | "output" = "input") {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: "any" });
  return rest;
}
