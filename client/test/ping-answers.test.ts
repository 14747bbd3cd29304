/** Answers to PINGs wait until the page has taken the messages before them; a page that was frozen asks before it gives up. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { SendClock } from "../src/codec/send-clock.js";
import { Flag, MessageType, ProtocolHandler } from "../src/index.js";
import { PingAnswers } from "../src/service/ping-answers.js";
import { ClientSession } from "../src/session/client-session.js";
import { DEFAULT_SETTINGS } from "../src/session/settings.js";
import { gate, impatient, scripted, until } from "./services.js";

let frames: (() => void)[] = [];

/** Makes this process look like a page. */
function page(visibilityState: string): void {
  vi.stubGlobal("document", { visibilityState });
  vi.stubGlobal("requestAnimationFrame", (draw: () => void) => frames.push(draw));
}

function drawFrame(): void {
  for (const draw of frames.splice(0)) draw();
}

beforeEach(() => {
  frames = [];
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

test("where nothing is drawn, a PING is answered at once", () => {
  const said: string[] = [];
  new PingAnswers(() => []).add(() => said.push("node"));
  page("hidden");
  new PingAnswers(() => []).add(() => said.push("hidden"));
  expect(said).toEqual(["node", "hidden"]);
});

test("a visible page answers after its next frame, in order", () => {
  vi.useFakeTimers();
  page("visible");
  const said: number[] = [];
  const answers = new PingAnswers(() => []);
  answers.add(() => said.push(1));
  answers.add(() => said.push(2));
  vi.advanceTimersByTime(100);
  expect(said).toEqual([]);
  drawFrame();
  vi.advanceTimersByTime(1);
  expect(said).toEqual([1]);
  drawFrame();
  vi.advanceTimersByTime(1);
  expect(said).toEqual([1, 2]);
  vi.advanceTimersByTime(1000);
  drawFrame();
  expect(said).toEqual([1, 2]);
});

test("a page that gets no frame answers after a quarter of a second", () => {
  vi.useFakeTimers();
  page("visible");
  const said: number[] = [];
  new PingAnswers(() => []).add(() => said.push(1));
  vi.advanceTimersByTime(249);
  expect(said).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(said).toEqual([1]);
});

test("an answer waits for the promises of callbacks, for a second at most", async () => {
  vi.useFakeTimers();
  const { opened, open } = gate();
  const said: string[] = [];
  let taking: Promise<unknown>[] = [opened, Promise.reject(new Error("refused"))];
  const answers = new PingAnswers(() => taking);
  answers.add(() => said.push("taken"));
  taking = [new Promise(() => {})];
  answers.add(() => said.push("late"));
  taking = [];
  answers.add(() => said.push("behind"));
  await vi.advanceTimersByTimeAsync(500);
  expect(said).toEqual([]);
  open();
  await vi.advanceTimersByTimeAsync(1);
  expect(said).toEqual(["taken"]);
  await vi.advanceTimersByTimeAsync(990);
  expect(said).toEqual(["taken"]);
  await vi.advanceTimersByTimeAsync(20);
  expect(said).toEqual(["taken", "late", "behind"]);
});

test("a service answers once its callbacks have taken what came before, but alerts may take their time", async () => {
  const { opened, open } = gate();
  const never = new Promise(() => {});
  const heard: string[] = [];
  const url = await scripted(async (talk) => {
    await talk.negotiate();
    const { data } = await talk.hear(MessageType.SUBSCRIBE);
    talk.say(MessageType.SUBSCRIPTION_ACK, { stream: data.stream, status: "subscribed" });
    const alert = { kind: "asystole", timestamp: 1, stream: "ecg/1" };
    talk.say(MessageType.ANOMALY_ALERT, alert, { flags: Flag.ACK_REQUIRED, timestamp: 1n });
    talk.say(MessageType.PING, { sent: 1 });
    expect((await talk.hear(MessageType.PONG)).data).toEqual({ sent: 1 });
    talk.say(MessageType.FEATURE_DATA, { n: 1, stream: "ecg/1" }, { timestamp: 2n });
    talk.say(MessageType.PING, { sent: 2 });
    await until(() => heard.length === 2);
    setTimeout(() => {
      heard.push("opened");
      open();
    }, 100);
    expect((await talk.hear(MessageType.PONG)).data).toEqual({ sent: 2 });
    heard.push("answered");
  });
  const service = impatient();
  service.subscribe("ecg/1", ({ type }) => {
    heard.push(`${type}`);
    return type === MessageType.ANOMALY_ALERT ? never : opened;
  });
  await service.connect(url);
  await until(() => heard.length === 4);
  expect(heard).toEqual([`${MessageType.ANOMALY_ALERT}`, `${MessageType.FEATURE_DATA}`, "opened", "answered"]);
});

test("a page that did not run does not take its own silence for the server's", () => {
  const session = new ClientSession(DEFAULT_SETTINGS, new SendClock());
  const handler = new ProtocolHandler({ compression: null });
  session.start(0);
  session.receive(handler.encode(MessageType.HEARTBEAT, null), 1);
  session.slept(120);
  session.tick(120);
  expect(session.closing).toBeNull();
  const said = [];
  for (let message = session.nextMessage(120); message; message = session.nextMessage(120)) said.push(message[1]);
  expect(said).toContain(MessageType.PING);
  session.slept(124); // timers that are late again do not postpone it
  session.tick(124.9);
  expect(session.closing).toBeNull();
  session.tick(125.1);
  expect(session.closing?.code).toBe(1011);
});

test("what arrives then shows that the server is there", () => {
  const session = new ClientSession(DEFAULT_SETTINGS, new SendClock());
  const handler = new ProtocolHandler({ compression: null });
  session.start(0);
  session.slept(120);
  session.tick(120);
  session.receive(handler.encode(MessageType.HEARTBEAT, null), 121);
  session.tick(160);
  expect(session.closing).toBeNull();
  session.tick(166.1);
  expect(session.closing?.code).toBe(1011);
});
