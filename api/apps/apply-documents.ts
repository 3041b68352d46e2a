import { MAX_MISTAKES } from "../../contract/document/mistakes.ts";
import { type FieldError, Problem } from "../../contract/problem.ts";
import type { KnownCall } from "../http/route.ts";
import { checkMaterial, type MaterialWish } from "../materials/declare.ts";
import { type Checked, checkSpec, nameIn, specInvalid } from "./check.ts";

/** A config map or a secret. `at` is where it stands: every pointer into it starts so. */
export type MaterialDocument = { readonly at: string; readonly wish: MaterialWish };
export type ApplyDocument = Checked | MaterialDocument;

export function isApp(document: ApplyDocument): document is Checked {
  return "spec" in document;
}

export function isMaterial(document: ApplyDocument): document is MaterialDocument {
  return "wish" in document;
}

/** Every document checked, every mistake of every document at once; pointers start with a document's number where there are many. */
export function checkAll(call: KnownCall, documents: readonly unknown[]): readonly ApplyDocument[] {
  if (documents.length === 0) throw new Problem("body-invalid", "The body holds no document.");
  const errors: FieldError[] = [];
  const checked: ApplyDocument[] = [];
  const taken = new Set<string>();
  for (const [index, document] of documents.entries()) {
    if (errors.length > MAX_MISTAKES) break;
    const at = documents.length === 1 ? "" : `/${index}`;
    try {
      const one = checkOne(call, document, at);
      const { key, pointer, name } = nameOf(one, document);
      if (taken.has(key)) errors.push({ pointer, message: `"${name}" stands here twice` });
      taken.add(key);
      checked.push(one);
    } catch (error) {
      if (!(error instanceof Problem) || !error.extras.errors) throw error;
      errors.push(...error.extras.errors.map((it) => ({ ...it, pointer: at + it.pointer })));
    }
  }
  if (errors.length > 0) throw specInvalid(errors);
  return checked;
}

function checkOne(call: KnownCall, document: unknown, at: string): ApplyDocument {
  const wish = checkMaterial(document);
  return wish ? { at, wish } : { ...checkSpec(call, document), at };
}

/** What it is called, and where its document says so. */
function nameOf(checked: ApplyDocument, document: unknown) {
  if (isMaterial(checked)) {
    const { kind, name } = checked.wish;
    return { key: `${kind}/${name}`, name, pointer: `${checked.at}/metadata/name` };
  }
  const { name } = checked.spec;
  return { key: `app/${name}`, name, pointer: checked.at + nameIn(document).pointer };
}
