import { expect, it } from "vitest";
import { serverAddress } from "../src/server-address.js";

const of = (page: string): string[] => {
  const { socket, streams, shown } = serverAddress(new URL(page));
  return [socket.href, streams.href, shown];
};

it("is next to the page, where its address names no other", () => {
  expect(of("http://a:8765/?stream=x#y")).toEqual(["ws://a:8765/ws", "http://a:8765/streams", ""]);
  expect(of("https://a/monitor/")).toEqual(["wss://a/monitor/ws", "https://a/monitor/streams", ""]);
});

it("is the one that the address names, with or without scheme and path", () => {
  for (const named of ["ws://b:8766", "http://b:8766/", "b:8766", " ws://b:8766/ws?x#y"]) {
    expect(of(`http://a/?server=${encodeURIComponent(named)}`)).toEqual([
      "ws://b:8766/ws",
      "http://b:8766/streams",
      "b:8766",
    ]);
  }
  expect(of("https://a/?server=b")).toEqual(["wss://b/ws", "https://b/streams", "b"]);
  expect(of("http://a/?server=wss://b/ecg/socket")).toEqual(["wss://b/ecg/socket", "https://b/ecg/streams", "b"]);
});

it("is refused in words where it is none", () => {
  for (const named of ["ftp://b", "ws://", "ws://user:word@b", "http://b:99999"]) {
    expect(() => of(`http://a/?server=${encodeURIComponent(named)}`)).toThrow(named);
  }
});
