// Node's `ws`, as its documentation broadcasts. Argument: bytes of the payload. Each byte on stdin is a frame to publish.
import { WebSocket, WebSocketServer } from "ws";

const frame = Buffer.alloc(Number(process.argv[2]), 1);
const options = { host: "127.0.0.1", port: 0, backlog: 4096, perMessageDeflate: false };
const server = new WebSocketServer(options, () => console.log(server.address().port));
let waiting = 0;

function publish() {
  for (const client of server.clients) {
    if (client.readyState === WebSocket.OPEN) client.send(frame);
  }
  waiting -= 1;
  if (waiting) setImmediate(publish);
}

process.stdin.on("data", (orders) => {
  if (!waiting) setImmediate(publish);
  waiting += orders.length;
});
process.stdin.on("end", () => process.exit());
