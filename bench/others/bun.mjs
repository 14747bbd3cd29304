// Bun's own publish(). Argument: bytes of the payload. Each byte on stdin is a frame to publish.
const frame = new Uint8Array(Number(process.argv[2])).fill(1);
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch(request, server) {
    return server.upgrade(request) ? undefined : new Response("a WebSocket, please", { status: 426 });
  },
  websocket: {
    idleTimeout: 0,
    sendPings: false,
    perMessageDeflate: false,
    open(client) {
      client.subscribe("ecg");
    },
    message() {},
  },
});
console.log(server.port);
let waiting = 0;

function publish() {
  server.publish("ecg", frame);
  waiting -= 1;
  if (waiting) setImmediate(publish);
}

for await (const orders of Bun.stdin.stream()) {
  if (!waiting) setImmediate(publish);
  waiting += orders.length;
}
process.exit();
