/** A network of so many bytes a second between services and a server. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { onTestFinished } from "vitest";

/** Milliseconds between two portions. */
const STEP = 10;

export interface Throttled {
  readonly url: string;
  /** Breaks all connections off. */
  cut(): void;
}

/** Passes bytes on, those of the server at that rate, until the end of the test. */
export async function throttled(url: string, rate: number): Promise<Throttled> {
  const target = Number(new URL(url).port);
  const sockets = new Set<Socket>();
  const cut = () => {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  };
  const proxy = createServer((near) => {
    const far = connect(target, "127.0.0.1");
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.setNoDelay();
      socket.on("error", () => {});
      socket.on("close", () => (socket === near ? far : near).destroy());
    }
    near.pipe(far);
    void passOn(far, near, (rate * STEP) / 1000);
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  onTestFinished(() => {
    cut();
    proxy.close();
  });
  return { url: `ws://127.0.0.1:${(proxy.address() as AddressInfo).port}/ws`, cut };
}

async function passOn(from: Socket, to: Socket, portion: number): Promise<void> {
  try {
    for await (const bytes of from as AsyncIterable<Buffer>)
      for (let at = 0; at < bytes.length; at += portion) {
        to.write(bytes.subarray(at, at + portion));
        await new Promise((resolve) => setTimeout(resolve, STEP));
      }
  } catch {
    // one of both is closed
  }
}
