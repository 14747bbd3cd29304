/** The address of a server and how a client authenticates there: asked for anew before each attempt to connect. */

/** A value, or a function that returns it, possibly as a promise. It is called before each attempt to connect. */
export type Asked<Value> = Value | (() => Value | PromiseLike<Value>);

/** Where to connect, and the subprotocols to offer. */
export interface Destination {
  readonly url: string;
  readonly protocols: readonly string[];
}

/** The URL and the credentials of a client. */
export class Access {
  /** True if one of them is a function, so that a second attempt may have other credentials. */
  readonly isAsked: boolean;
  readonly #url: Asked<string>;
  readonly #token: Asked<string | null>;
  readonly #protocols: Asked<readonly string[]>;

  constructor(url: Asked<string>, token: Asked<string | null>, protocols: Asked<readonly string[]>) {
    this.#url = url;
    this.#token = token;
    this.#protocols = protocols;
    this.isAsked = [url, token, protocols].some((each) => typeof each === "function");
  }

  /**
   * Returns where the next attempt goes; a promise only if a function returns one.
   *
   * @param seconds time that the functions may take together
   * @throws Error if a function throws, or takes longer
   */
  ask(seconds: number): Destination | Promise<Destination> {
    const parts = [value(this.#url), value(this.#token), value(this.#protocols)] as const;
    if (!parts.some(isPromise)) return destination(...(parts as [string, string | null, string[]]));
    return inTime(
      Promise.all(parts).then((found) => destination(...found)),
      seconds,
    );
  }
}

/** Also of another class of promises, as Angular has one. */
export function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null)?.then === "function";
}

function value<Value>(asked: Asked<Value>): Value | PromiseLike<Value> {
  return typeof asked === "function" ? (asked as () => Value | PromiseLike<Value>)() : asked;
}

function destination(url: string, token: string | null, protocols: readonly string[]): Destination {
  if (typeof url !== "string") throw new TypeError(`a URL is a string, not ${typeof url}`);
  if (token === null) return { url, protocols };
  return { url, protocols: [...(protocols.length > 0 ? protocols : ["ecgframe"]), `bearer.${token}`] };
}

function inTime<Value>(promise: Promise<Value>, seconds: number): Promise<Value> {
  return new Promise((resolve, reject) => {
    const late = new Error(`the URL, the token or the subprotocols took longer than ${seconds} s`);
    const timer = setTimeout(() => reject(late), 1000 * seconds);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
