/** A Python process as the other side. See `peer.py` for what it can be told to do. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Rendered } from "../rendering.js";

export const PYTHON = process.env.ECGFRAME_PYTHON ?? "python3";

export interface Answer {
  readonly [key: string]: Rendered;
}

export class Peer {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #waiting = new Map<number, { resolve: (answer: Answer) => void; reject: (error: Error) => void }>();
  #count = 0;
  #log = "";
  #failure: Error | null = null;

  constructor(name = "peer.py", ...words: readonly string[]) {
    const script = fileURLToPath(new URL(name, import.meta.url));
    this.#process = spawn(PYTHON, ["-W", "error", script, ...words], { stdio: "pipe" });
    createInterface({ input: this.#process.stdout }).on("line", (line) => this.#answered(line));
    this.#process.stderr.on("data", (text) => {
      this.#log += text;
    });
    this.#process.on("exit", (code) => this.#failed(new Error(`the Python peer ended with ${code}:\n${this.#log}`)));
    this.#process.on("error", (error) => this.#failed(error));
  }

  /** Has something done; gives what comes of it. */
  do(name: string, more: Record<string, unknown> = {}): Promise<Answer> {
    if (this.#failure) return Promise.reject(this.#failure);
    const id = this.#count++;
    this.#process.stdin.write(`${JSON.stringify({ id, do: name, ...more })}\n`);
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  async end(): Promise<void> {
    if (this.#failure) return;
    const ended = new Promise((resolve) => this.#process.on("exit", resolve));
    this.#process.stdin.end();
    await ended;
  }

  #answered(line: string): void {
    const answer = JSON.parse(line) as Answer;
    const waiting = this.#waiting.get(answer.id as number);
    this.#waiting.delete(answer.id as number);
    if (answer.failure) waiting?.reject(new Error(String(answer.failure)));
    else waiting?.resolve(answer);
  }

  #failed(error: Error): void {
    this.#failure = error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
