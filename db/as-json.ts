import { type SQL, type SQLWrapper, sql } from "drizzle-orm";

type Query = SQLWrapper &
  PromiseLike<readonly unknown[]> & {
    readonly _: { readonly selectedFields: Readonly<Record<string, unknown>> };
  };

/** One row of the query that a function makes. */
export type RowOf<Make extends (...args: never) => Query> = Awaited<ReturnType<Make>>[number];

/**
 * All rows of a query, in its order, as one value of a statement around it: what one statement reads is of
 * one moment, and comes in one turn of the wire. Of what JSON has no word for (bytes) the query has to
 * select a text.
 */
export function asJson<Rows extends Query>(query: Rows): SQL<Awaited<Rows>> {
  const names = Object.keys(query._.selectedFields).map((name) => sql.identifier(name));
  return sql`(select coalesce(json_agg(it), '[]') from ${query} as it (${sql.join(names, sql`, `)}))`;
}
