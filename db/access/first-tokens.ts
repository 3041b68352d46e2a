import { createHash, randomBytes } from "node:crypto";
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import type { ProjectId } from "../../contract/ids.ts";
import { makeToken, parseToken, type TokenParts } from "../../contract/token.ts";
import type { Db } from "../client.ts";
import type { Scope } from "../schema/core.ts";
import { grantScopes, INSTALLATION, insertToken, revokeNodeTokens } from "./tokens.ts";

const ALL_SCOPES: readonly Scope[] = [
  "app:read",
  "app:deploy",
  "app:admin",
  "secret:write",
  "node:admin",
  "audit:read",
  "org:admin",
];
const JOIN_LIFE_SECONDS = 15 * 60;

/**
 * The administrator's token: the file first, then its hash in the database, so that a crash in
 * between loses nothing. A file that is there is kept, whichever database it meets; a later version
 * of Waybill gives it the scopes that are new.
 */
export async function ensureAdminToken(db: Db, project: ProjectId, path: string): Promise<void> {
  let token = await readToken(path);
  if (token === undefined) {
    const fresh = makeToken("personal", randomBytes);
    await writePrivately(path, fresh);
    token = fresh;
  }
  await insertToken(db, {
    ...stored(token),
    projectId: project,
    nodeName: null,
    scopes: ALL_SCOPES,
    createdBy: INSTALLATION,
    lifeSeconds: null,
  });
  await grantScopes(db, token.id, ALL_SCOPES);
}

/** A new join token for this node; older ones that were not used end. */
export async function writeJoinToken(
  db: Db,
  project: ProjectId,
  node: string,
  path: string,
): Promise<void> {
  const token = makeToken("join", randomBytes);
  await db.transaction(async (tx) => {
    await insertToken(tx, {
      ...stored(token),
      projectId: project,
      nodeName: node,
      scopes: [],
      createdBy: INSTALLATION,
      lifeSeconds: JOIN_LIFE_SECONDS,
    });
    await revokeNodeTokens(tx, "join", node, token.id);
  });
  await writePrivately(path, token);
}

function stored(token: TokenParts) {
  return {
    id: token.id,
    kind: token.kind,
    secretHash: createHash("sha256").update(token.secret).digest(),
    last4: token.secret.slice(-4),
  };
}

async function readToken(path: string): Promise<TokenParts | undefined> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw new Error(`reading the token file ${path}`, { cause: error });
  });
  if (text === undefined) return undefined;
  const token = parseToken(text.trim());
  if (token === undefined || token.kind !== "personal") {
    throw new Error(`${path} holds no administrator's token; move it away to get a new one`);
  }
  return token;
}

/** Whole or not at all, also when the power fails: a new file, synced, renamed into its place. */
async function writePrivately(path: string, token: { readonly text: string }): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true });
  const draft = `${path}.new`;
  const file = await open(draft, "w", 0o600);
  try {
    await file.chmod(0o600);
    await file.writeFile(`${token.text}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, path);
  const parent = await open(folder, "r");
  try {
    await parent.sync();
  } finally {
    await parent.close();
  }
}
