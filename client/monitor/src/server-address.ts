/** The server's address: that of the page, or the one in its URL's query (`?server=ws://127.0.0.1:8766`). */

export interface ServerAddress {
  /** URL of the WebSocket. */
  readonly socket: URL;
  /** URL of the list of streams. */
  readonly streams: URL;
  /** Host and port, as the page shows them, if `?server=` names a server; otherwise empty. */
  readonly shown: string;
}

/** Path of the WebSocket if `?server=` names none. */
const DEFAULT_PATH = "/ws";

/** Determine the server of a page. @throws TypeError `?server=` is not a valid address */
export function serverAddress(page: URL): ServerAddress {
  const asked = page.searchParams.get("server")?.trim() ?? "";
  const socket = asked === "" ? new URL("ws", page) : parseAddress(asked, page);
  socket.protocol = isSecure(socket) ? "wss:" : "ws:";
  socket.search = socket.hash = "";
  const streams = new URL("streams", socket);
  streams.protocol = isSecure(socket) ? "https:" : "http:";
  return { socket, streams, shown: asked === "" ? "" : socket.host };
}

/** Parse `ws://host:port/path`. Without a scheme, it is wss if the page came over https, else ws. */
function parseAddress(asked: string, page: URL): URL {
  const scheme = isSecure(page) ? "wss://" : "ws://";
  const text = /^[a-z]+:\/\//i.test(asked) ? asked : scheme + asked;
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^(ws|http)s?:$/.test(url.protocol) || url.username !== "" || url.password !== "") {
    throw new TypeError(`?server=${asked} is not a valid address; use ws://host:port`);
  }
  // Not every browser lets the scheme change from http to ws by assignment.
  const made = new URL(text.replace(/^http/i, "ws"));
  if (made.pathname === "/") made.pathname = DEFAULT_PATH;
  return made;
}

const isSecure = ({ protocol }: URL): boolean => protocol === "https:" || protocol === "wss:";
