/**
 * Moments that somebody has marked, with an optional text: kept in the browser's storage, for each stream of each server. All
 * pages of this browser have the same marks.
 */

import { isRecord } from "./feed.js";

export interface EventMark {
  /** The moment, in Unix seconds; no two marks of a stream have the same. */
  readonly at: number;
  readonly text: string;
  /** When it was made, in Unix seconds. */
  readonly made: number;
}

/** Marks that are kept of a stream, streams of which marks are kept, and characters of a text. */
export const MOST_MARKS = 200;
const MOST_STREAMS = 64;
export const LONGEST_TEXT = 200;
/** Name in the browser's storage. */
export const STORED_AS = "ecgframe.marks";

/** The marks of all streams; those that were changed last come last. */
type Book = Map<string, readonly EventMark[]>;

export class EventMarks {
  /** What was lost or cannot be kept, in words; empty if nothing. */
  fault = "";
  #book: Book = new Map();

  /** @param server address of the server, as streams of others have the same names. */
  constructor(
    readonly storage: Pick<Storage, "getItem" | "setItem">,
    readonly server: string,
  ) {
    this.reload();
  }

  /** Read what another page has changed. */
  reload(): void {
    try {
      const text = this.storage.getItem(STORED_AS);
      if (text !== null) this.#book = parsed(text);
    } catch {
      this.fault = "The marks that this browser kept cannot be read";
    }
  }

  /** The marks of a stream, in the order of time. */
  of(stream: string): readonly EventMark[] {
    return this.#book.get(this.#key(stream)) ?? [];
  }

  /** Add a mark, or change that of the same moment. Beyond `MOST_MARKS`, the oldest is forgotten. */
  put(stream: string, mark: EventMark): void {
    const text = mark.text.trim().slice(0, LONGEST_TEXT);
    this.#change(stream, (marks) => [...marks.filter(({ at }) => at !== mark.at), { ...mark, text }]);
  }

  remove(stream: string, at: number): void {
    this.#change(stream, (marks) => marks.filter((mark) => mark.at !== at));
  }

  #change(stream: string, change: (marks: readonly EventMark[]) => EventMark[]): void {
    this.fault = "";
    this.reload();
    const key = this.#key(stream);
    const marks = change(this.of(stream)).sort((one, other) => one.at - other.at);
    this.#book.delete(key);
    if (marks.length > 0) this.#book.set(key, marks.slice(-MOST_MARKS));
    const forgotten: string[] = [];
    if (marks.length > MOST_MARKS) forgotten.push(`the oldest mark, as ${MOST_MARKS} are kept of a stream`);
    for (const other of [...this.#book.keys()].slice(0, -MOST_STREAMS)) {
      this.#book.delete(other);
      forgotten.push(`the marks of ${other.split(" ", 2)[1]}, as those of ${MOST_STREAMS} streams are kept`);
    }
    if (forgotten.length > 0) this.fault = `Forgotten: ${forgotten.join("; ")}`;
    try {
      this.storage.setItem(STORED_AS, JSON.stringify([...this.#book]));
    } catch {
      this.fault = "The browser's storage is full or denied: the marks are lost when this page is closed";
    }
  }

  #key(stream: string): string {
    return `${this.server} ${stream}`;
  }
}

/** @throws Error the text is not what `EventMarks` writes */
function parsed(text: string): Book {
  const book: unknown = JSON.parse(text);
  if (!Array.isArray(book)) throw new Error("no list");
  return new Map(
    book.slice(-MOST_STREAMS).map(([key, marks]): [string, EventMark[]] => {
      if (typeof key !== "string" || !Array.isArray(marks)) throw new Error("no marks");
      return [key, marks.filter(isMark).slice(-MOST_MARKS)];
    }),
  );
}

function isMark(value: unknown): value is EventMark {
  return (
    isRecord(value) &&
    Number.isFinite(value.at) &&
    Number.isFinite(value.made) &&
    typeof value.text === "string" &&
    value.text.length <= LONGEST_TEXT
  );
}
