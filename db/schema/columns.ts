import { customType, timestamp } from "drizzle-orm/pg-core";

// Columns that every file of the schema makes alike.

export const bytea = customType<{ data: Uint8Array; driverData: Uint8Array }>({
  dataType: () => "bytea",
});
export const at = (name: string) => timestamp(name, { withTimezone: true, mode: "date" });
export const now = (name: string) => at(name).notNull().defaultNow();
