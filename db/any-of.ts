import { type SQL, type SQLWrapper, sql } from "drizzle-orm";

/**
 * Whether the column is one of these, as one parameter however many there are: the statement's text is
 * the same for one and for a thousand, and may be prepared.
 */
export function anyOf(column: SQLWrapper, ids: readonly string[] | SQLWrapper): SQL {
  return sql`${column} = any(${Array.isArray(ids) ? idList(ids) : ids})`;
}

/** One parameter for many ids, and for ids alone: none of them holds a comma, a brace or a quote. */
export function idList(ids: readonly string[]): string {
  return `{${ids.join(",")}}`;
}
