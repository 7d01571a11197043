/** A file that cannot be read, in words for the reader. `key` names a text in words.ts. */
export class PictureError extends Error {
  constructor(readonly key: string, readonly detail = "") {
    super(key);
  }
}
