/** Where the server is: next to the page, or where the page's address says (`?server=ws://127.0.0.1:8766`). */

export interface ServerAddress {
  /** Of the WebSocket. */
  readonly socket: URL;
  /** Of the list of streams. */
  readonly streams: URL;
  /** As people read it, where it is another server than the page's own; nothing otherwise. */
  readonly shown: string;
}

/** The path of a server's WebSockets, where the address names none. */
const PATH = "/ws";

/** @throws TypeError the page's address names a server, and it is no address of one */
export function serverAddress(page: URL): ServerAddress {
  const asked = page.searchParams.get("server")?.trim() ?? "";
  const socket = asked === "" ? new URL("ws", page) : named(asked, page);
  socket.protocol = isSecure(socket) ? "wss:" : "ws:";
  socket.search = socket.hash = "";
  const streams = new URL("streams", socket);
  streams.protocol = isSecure(socket) ? "https:" : "http:";
  return { socket, streams, shown: asked === "" ? "" : socket.host };
}

/** As `ws://host:port/path`, or without the scheme, which is then that of the page. */
function named(asked: string, page: URL): URL {
  const scheme = isSecure(page) ? "wss://" : "ws://";
  const text = /^[a-z]+:\/\//i.test(asked) ? asked : scheme + asked;
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^(ws|http)s?:$/.test(url.protocol) || url.username !== "" || url.password !== "") {
    throw new TypeError(`?server=${asked}: not the address of a server, as ws://host:port`);
  }
  // Another scheme of the same family: browsers do not let http become ws by assignment alone in every case.
  const made = new URL(text.replace(/^http/i, "ws"));
  if (made.pathname === "/") made.pathname = PATH;
  return made;
}

const isSecure = ({ protocol }: URL): boolean => protocol === "https:" || protocol === "wss:";
