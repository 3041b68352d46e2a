import { defineConfig } from "drizzle-kit";

export default defineConfig({
  dialect: "postgresql",
  schema: [
    "./db/schema/control.ts",
    "./db/schema/core.ts",
    "./db/schema/outbox.ts",
    "./db/schema/access.ts",
    "./db/schema/material.ts",
    "./db/schema/streams.ts",
    "./db/schema/history.ts",
  ],
  out: "./db/migrations",
});
