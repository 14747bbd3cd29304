import { onTestFinished } from "vitest";
import { WebSocket } from "ws";
import { type ServiceEvents, type ServiceOptions, WebSocketBinaryService } from "../src/index.js";
import { type Script, ScriptedServer } from "./scripted.js";

/** A service that reconnects at once, closed at the end of the test. */
export function impatient(options: ServiceOptions = {}): WebSocketBinaryService {
  const reconnect = { initialDelay: 2, maxDelay: 20 };
  const service = new WebSocketBinaryService({ WebSocket, reconnect, negotiationTimeout: 1000, ...options });
  onTestFinished(() => service.close());
  return service;
}

/** A server that follows scripts, ended with the test. */
export async function scripted(...scripts: Script[]): Promise<string> {
  const server = await ScriptedServer.of(...scripts);
  onTestFinished(() => server.end());
  return server.url;
}

/** The next event of that name for which the condition holds. */
export function next<Name extends keyof ServiceEvents>(
  service: WebSocketBinaryService,
  name: Name,
  condition: (event: ServiceEvents[Name]) => boolean = () => true,
): Promise<ServiceEvents[Name]> {
  return new Promise((resolve) => {
    const end = service.on(name, (event) => {
      if (!condition(event)) return;
      end();
      resolve(event);
    });
  });
}

/** All events of that name, as they come. */
export function collected<Name extends keyof ServiceEvents>(service: WebSocketBinaryService, name: Name) {
  const events: ServiceEvents[Name][] = [];
  service.on(name, (event) => {
    events.push(event);
  });
  return events;
}

/** Polls until a condition holds. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** A promise and what settles it. */
export function gate(): { opened: Promise<void>; open: () => void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/** The messages of uncaught errors during a call. */
export async function uncaughtDuring(work: () => void | Promise<void>): Promise<string[]> {
  const reported: string[] = [];
  const vitests = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", (error) => reported.push(error.message));
  await work();
  await new Promise((resolve) => setTimeout(resolve));
  process.removeAllListeners("uncaughtException");
  for (const listener of vitests) process.on("uncaughtException", listener);
  return reported.sort();
}
