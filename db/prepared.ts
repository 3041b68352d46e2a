/**
 * A statement that is asked all the time: its text is made once for each database, and PostgreSQL parses
 * it once for each connection. Its parameters are `sql.placeholder`s, as many for a thousand rows as for
 * one: see `idList`.
 */
export function prepared<On extends object, Statement>(
  make: (db: On) => Statement,
): (db: On) => Statement {
  const made = new WeakMap<On, { readonly statement: Statement }>();
  return (db) => {
    const known = made.get(db) ?? { statement: make(db) };
    made.set(db, known);
    return known.statement;
  };
}
