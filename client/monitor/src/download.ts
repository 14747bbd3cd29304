import { make } from "./dom.js";

/** Let the browser save a file. Returns its name. */
export function download(parts: readonly (string | Uint8Array)[], name: string, type: string): string {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob(parts as BlobPart[], { type }));
  link.download = name;
  link.click();
  // The browser needs the URL until it has started the download.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return name;
}
