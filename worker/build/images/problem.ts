/** Every reason to refuse an image for what it is or what it is called; the user can act on each. */
export type ImageProblem =
  | "image-not-found"
  | "image-unauthorized"
  | "image-name-refused"
  | "image-digest-mismatch"
  | "image-platform-missing"
  | "image-manifest-invalid"
  | "image-config-refused"
  | "image-too-large"
  | "http-port-missing";

/** Thrown anywhere below `resolveImages`, which hands it to its caller as a value. `message` is a sentence without the image's name. */
export class ImageRefused extends Error {
  readonly slug: ImageProblem;
  constructor(slug: ImageProblem, message: string, cause?: unknown) {
    super(message, { cause });
    this.slug = slug;
  }
}

/** A registry did not do its part: a later attempt may fare better. */
export class RegistryUnreachable extends Error {
  readonly slug = "registry-unreachable";
}
