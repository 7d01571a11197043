/** The page's side of the worker: one request at a time, each with a time limit; a worker that hangs is replaced. */

import type { CodecBytes } from "./codecs";
import { PictureError } from "./errors";
import type { ModelDescription } from "./models";
import type { Answer, Found, Request } from "./protocol";

const LIMIT = 20_000; // milliseconds for one picture; the largest preset takes less than one on a slow computer

export class Engine {
  private worker: Worker | null = null;
  private queue: Promise<unknown> = Promise.resolve();
  private model: { description: ModelDescription; onnx: Uint8Array } | null = null;

  constructor(private readonly wasm: Uint8Array, private readonly codecs: CodecBytes) {}

  /** Take another model, from now on. */
  use(description: ModelDescription, onnx: Uint8Array): Promise<void> {
    return this.turn(async () => {
      this.model = { description, onnx };
      if (this.worker !== null) await this.ask({ kind: "model", ...this.model });
      else await this.start();
    });
  }

  /** Read a file and outline the lesion in one frame. Raises PictureError. */
  work(bytes: ArrayBuffer, frame: number, crop: boolean): Promise<Found> {
    return this.turn(async () => {
      if (this.worker === null) await this.start();
      return (await this.ask({ kind: "work", bytes, frame, crop }, [bytes]))!;
    });
  }

  private turn<T>(job: () => Promise<T>): Promise<T> {
    const result = this.queue.then(job);
    this.queue = result.catch(() => undefined);
    return result;
  }

  private async start(): Promise<void> {
    this.worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "pictures" });
    await this.ask({ kind: "start", wasm: this.wasm, codecs: this.codecs });
    if (this.model !== null) await this.ask({ kind: "model", ...this.model });
  }

  private ask(request: Request, moved: Transferable[] = []): Promise<Found | undefined> {
    const worker = this.worker!;
    return new Promise((resolve, reject) => {
      const give = (error: PictureError): void => {
        worker.terminate();
        this.worker = null;
        reject(error);
      };
      const timer = setTimeout(() => give(new PictureError("tookTooLong")), LIMIT);
      worker.onerror = (event) => {
        clearTimeout(timer);
        give(new PictureError("failed", event.message));
      };
      worker.onmessage = (event: MessageEvent<Answer>) => {
        clearTimeout(timer);
        const answer = event.data;
        if (answer.ok) resolve(answer.found);
        else reject(new PictureError(answer.key, answer.detail));
      };
      worker.postMessage(request, moved);
    });
  }
}
