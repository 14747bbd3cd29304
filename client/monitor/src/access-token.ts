/** The token of the page: from the address, from another tab of this browser, or from who uses the page. */

/** Part of the address that has a token, which the browser does not send to the server: `#token=TOKEN`. */
const FRAGMENT = "token";
/** What a token may consist of, as part of a subprotocol, and how long it is. */
const TOKEN = /^[\w!#$%&'*+.^`|~-]{1,4096}$/;

/** What tabs of this browser tell each other: that one of them needs the token of a server, and the token. */
interface Told {
  readonly server: string;
  readonly token: string | null;
}

/**
 * The token for one server. It is kept until the tab is closed, and is sent to no other server.
 *
 * @param server host and port of the server.
 * @param came called when another tab had the token, or the address got one.
 */
export class AccessToken {
  readonly #key: string;
  readonly #tabs = new BroadcastChannel("ecgframe.token");

  constructor(
    readonly server: string,
    came: () => void,
  ) {
    this.#key = `ecgframe.token ${server}`;
    this.#takeFromAddress();
    addEventListener("hashchange", () => this.#takeFromAddress() && came());
    this.#tabs.addEventListener("message", ({ data: { server, token } }: MessageEvent<Told>) => {
      if (server !== this.server) return;
      if (token === null) this.#tell();
      else if (this.value === null) {
        this.value = token;
        came();
      }
    });
    if (this.value === null) this.#tabs.postMessage({ server, token: null } satisfies Told);
  }

  /** Null if there is none. */
  get value(): string | null {
    return sessionStorage.getItem(this.#key);
  }

  set value(token: string) {
    sessionStorage.setItem(this.#key, token);
  }

  #tell(): void {
    if (this.value !== null) this.#tabs.postMessage({ server: this.server, token: this.value } satisfies Told);
  }

  /** Take the token out of the address, so that it is neither seen nor copied with it. */
  #takeFromAddress(): boolean {
    const parameters = new URLSearchParams(location.hash.slice(1));
    const token = parameters.get(FRAGMENT)?.trim() ?? "";
    if (!parameters.has(FRAGMENT)) return false;
    history.replaceState(history.state, "", location.pathname + location.search);
    if (!isToken(token)) return false;
    this.value = token;
    return true;
  }
}

export function isToken(text: string): boolean {
  return TOKEN.test(text);
}
