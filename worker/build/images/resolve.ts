import type { ImageAppSpec, PodAppSpec } from "../../../contract/app/app-spec.ts";
import type { Digest } from "../../../contract/ids.ts";
import { parseImageName } from "../../../contract/image-reference.ts";
import { allContainers, imagesOf } from "../../../contract/pod/pod.ts";
import { type CopyDeps, copyImage } from "./copy.ts";
import { eachOf } from "./each-of.ts";
import { type FindDeps, findImage } from "./find.ts";
import { httpPortOf, portProblem } from "./http-port.ts";
import type { FoundImage } from "./inspect.ts";
import type { ImageUse } from "./manifest.ts";
import { type ImageProblem, ImageRefused, RegistryUnreachable } from "./problem.ts";

/** Every name of the spec, and what it stands for. */
export type ResolvedSpec = {
  readonly kind: "resolved";
  /** By the name as written: `repository@digest` in Waybill's own registry. */
  readonly images: Readonly<Record<string, string>>;
  /** The first container's. */
  readonly repository: string;
  readonly image: Digest;
  readonly httpPort: number | null;
};

/** Some image cannot be had, whoever asks and how often; `message` names all that are wrong. */
export type ImagesRefused = {
  readonly kind: "refused";
  readonly slug: ImageProblem;
  readonly message: string;
};

/**
 * What every image of the spec stands for just now, each of them in Waybill's own registry
 * afterwards. All are looked at before anything is copied. Throws where a retry may help.
 */
export async function resolveImages(
  deps: FindDeps & CopyDeps,
  spec: ImageAppSpec | PodAppSpec,
): Promise<ResolvedSpec | ImagesRefused> {
  const uses = usesOf(spec);
  const found = await findAll(deps, uses);
  if (found.kind === "refused") return found;
  const { images } = found;
  const httpPort = httpPortOf(spec, (name) => images.get(name)?.tcpPorts ?? []);
  const problem = portProblem(spec, httpPort);
  if (problem !== undefined)
    return { kind: "refused", slug: "http-port-missing", message: problem };
  for (const [name, image] of images) {
    if (image.isHere) continue;
    const refusal = await copied(deps, name, image);
    if (refusal) return refusal;
  }
  const [first] = images.values();
  if (first === undefined) throw new Error("a spec names no image");
  return {
    kind: "resolved",
    images: Object.fromEntries(
      [...images].map(([name, it]) => [name, `${it.repository}@${it.digest}`]),
    ),
    repository: first.repository,
    image: first.digest,
    httpPort,
  };
}

/** The images by name, the first main container's first, and what each is for: the stricter where it is for both. */
function usesOf(spec: ImageAppSpec | PodAppSpec): ReadonlyMap<string, ImageUse> {
  if ("image" in spec) return new Map([[spec.image, "container"]]);
  const pod = spec.pod.spec;
  const run = [...pod.containers, ...allContainers(pod)].map(({ image }) => image);
  const uses = new Map<string, ImageUse>(run.map((name) => [name, "container"]));
  for (const name of imagesOf(pod)) if (!uses.has(name)) uses.set(name, "volume");
  return uses;
}

type FoundAll =
  | { readonly kind: "found"; readonly images: ReadonlyMap<string, FoundImage> }
  | ImagesRefused;

/** A pod may name more images than a registry likes to be asked for at once. */
const LOOKS_AT_ONCE = 8;

type Failure = { readonly name: string; readonly error: ImageRefused | RegistryUnreachable };

async function findAll(deps: FindDeps, uses: ReadonlyMap<string, ImageUse>): Promise<FoundAll> {
  const images = new Map<string, FoundImage>();
  const looked = await eachOf([...uses], LOOKS_AT_ONCE, async ([name, use]) => {
    try {
      return { name, image: await findImage(deps, nameOf(name), use) };
    } catch (error) {
      deps.signal.throwIfAborted();
      if (error instanceof ImageRefused || error instanceof RegistryUnreachable) {
        return { name, error };
      }
      throw error;
    }
  });
  const failures: Failure[] = [];
  for (const it of looked) {
    if ("image" in it) images.set(it.name, it.image);
    else failures.push(it);
  }
  const [first] = failures;
  if (first === undefined) return { kind: "found", images };
  const message = failures.map(({ name, error }) => `${name}: ${error.message}`).join(". ");
  const refused = failures.find(({ error }) => error instanceof ImageRefused)?.error;
  if (refused instanceof ImageRefused) return { kind: "refused", slug: refused.slug, message };
  throw new RegistryUnreachable(message, { cause: first.error });
}

function nameOf(text: string) {
  const name = parseImageName(text);
  if (name) return name;
  throw new ImageRefused("image-name-refused", "this is no image's name");
}

async function copied(
  deps: CopyDeps,
  name: string,
  image: FoundImage,
): Promise<ImagesRefused | undefined> {
  try {
    await copyImage(deps, name, image);
    return undefined;
  } catch (error) {
    deps.signal.throwIfAborted();
    if (error instanceof RegistryUnreachable) {
      throw new RegistryUnreachable(`${name}: ${error.message}`, { cause: error });
    }
    if (!(error instanceof ImageRefused)) throw error;
    return { kind: "refused", slug: error.slug, message: `${name}: ${error.message}` };
  }
}
