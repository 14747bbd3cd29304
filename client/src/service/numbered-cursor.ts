/**
 * The position of a viewer in a stream of version 4, whose messages are numbered 1, 2, 3, ... in each epoch.
 *
 * Messages arrive in order, except for urgent ones, which overtake. So a cursor consists of the last number in order, and
 * the larger numbers of messages that overtook. A message in order shows exactly which ones before it are lost. Times are
 * only reported with a gap, and not compared.
 */

import type { Message } from "../codec/protocol-handler.js";
import type { Resumption, StreamNumbers } from "../session/client-session.js";
import type { StreamPosition, StreamPositions } from "../session/stream-book.js";
import type { Gap, Taken } from "./cursor.js";
import { differ, keysOf, type MessageMark, markOf } from "./message-mark.js";

/** How many numbers of messages that overtook are remembered, and how many of messages that were refused. */
const REMEMBERED = 1024;
/** Number of epochs whose messages may arrive: the current one, and the one before it. */
const EPOCHS = 2;

/** Number of messages with the same timestamp, or the same key of their content, that are remembered. */
const MAX_SAME_KEY = 4;
/** Microseconds by which the timestamps may differ that two servers have given to one message. */
const RESTAMPED_WITHIN = 60_000_000;

/** A message that the viewer has; its line is null if its epoch was not known any more. */
interface ReceivedMessage {
  readonly line: Numbering | null;
  readonly mark: MessageMark;
  readonly timestamp: bigint;
}

/** The numbers of one epoch. */
class Numbering {
  readonly epoch: number;
  /** All messages up to this number have arrived, or are reported as lost. */
  after: number;
  /** Time of the last message in order; before the first one, the time of the answer that began the epoch. */
  time: bigint;
  #isTimeOfAnswer = true;
  /** Larger numbers of messages that have arrived, or are reported as lost. */
  readonly #ahead = new Set<number>();

  constructor(epoch: number, after: number, time: bigint) {
    this.epoch = epoch;
    this.after = after;
    this.time = time;
  }

  has(number: number): boolean {
    return number <= this.after || this.#ahead.has(number);
  }

  /** Notes the time of the last message in order. */
  reach(time: bigint): void {
    this.time = time;
    this.#isTimeOfAnswer = false;
  }

  /** The time at which a gap begins that ends at `time`. Messages of the history are older than the server's answer. */
  timeBefore(time: bigint): bigint {
    return this.#isTimeOfAnswer && time < this.time ? time : this.time;
  }

  /** Moves the position to a number. Returns how many messages before it have not arrived. */
  pass(number: number): number {
    let passed = number - this.after - 1;
    for (const ahead of this.#ahead) {
      if (ahead < number) passed--;
      if (ahead <= number) this.#ahead.delete(ahead);
    }
    this.after = number;
    this.#close();
    return passed;
  }

  /** Moves the position to a number that is lost, unless it has arrived. Returns how many messages are lost. */
  lose(number: number): number {
    const lost = this.has(number) ? 0 : 1;
    return number > this.after ? this.pass(number) + lost : 0;
  }

  /** Notes a message that overtook. Returns how many messages are given up because too many have overtaken them. */
  add(number: number): number {
    this.#ahead.add(number);
    this.#close();
    return this.#ahead.size > REMEMBERED ? this.pass(Math.min(...this.#ahead)) : 0;
  }

  /** Moves the position past the messages that follow it directly and have arrived. */
  #close(): void {
    while (this.#ahead.delete(this.after + 1)) this.after++;
  }
}

/** What an answer states of the numbers of a stream; see `StreamNumbers`. */
type Answer = Pick<StreamNumbers, "epoch" | "next"> & Partial<Pick<StreamNumbers, "ended">>;

export class NumberedCursor implements StreamPositions {
  readonly #stream: string;
  /** One for each epoch; the current epoch is the last. */
  #lines: Numbering[] = [];
  /** The gap from the last change of the epoch, reported before the next message in order; null if there is none. */
  #change: Gap | null = null;
  /** Epochs whose number that would have been next is known, and when they ended; reported in the same way. */
  #ending: { readonly line: Numbering; readonly next: number; readonly time: bigint }[] = [];
  /** Numbers of the current epoch that were refused over this connection, and over earlier ones. */
  #refused = new Set<number>();
  #refusedBefore = new Set<number>();
  /** The latest messages that the viewer has: by their timestamps, and by the first key of their content. */
  readonly #byTimestamp = new Map<bigint, ReceivedMessage[]>();
  readonly #byContent = new Map<number, ReceivedMessage[]>();

  constructor(stream: string) {
    this.#stream = stream;
  }

  /** Where to resume over a new connection; null before the first answer with numbers. */
  get position(): Resumption | null {
    const line = this.#lines.at(-1);
    return line ? { epoch: line.epoch, after: line.after } : null;
  }

  wasReceived({ epoch, number }: StreamPosition): boolean {
    return this.#lineOf(epoch)?.has(number) ?? false;
  }

  /**
   * Notes the content of a message that arrived. Returns whether the viewer lacks it: a message that it has from another
   * epoch comes again when another server numbers it. Servers that are cut off from each other may give one message two
   * timestamps, and two messages the same one. So a message was received if another one has the same content, and the
   * same timestamp, or one near it and a time of its own.
   */
  isFirst({ epoch }: StreamPosition, timestamp: bigint, message: Pick<Message, "type" | "data">): boolean {
    const line = this.#lineOf(epoch) ?? null;
    const mark = markOf(message);
    const keys = keysOf(mark);
    for (const one of [
      this.#byTimestamp.get(timestamp) ?? [],
      ...keys.map((key) => this.#byContent.get(key) ?? []),
    ].flat()) {
      const isNear = Math.abs(Number(one.timestamp - timestamp)) <= RESTAMPED_WITHIN;
      if (one.line !== line && isNear && !differ(one.mark, mark)) return false;
    }
    const received = { line, mark, timestamp };
    remember(this.#byTimestamp, timestamp, received);
    if (keys.length) remember(this.#byContent, keys[0], received);
    return true;
  }

  wasRefused({ epoch, number }: StreamPosition): boolean {
    return epoch === this.#lines.at(-1)?.epoch && this.#refusedBefore.has(number);
  }

  /**
   * Notes the server's answer to SUBSCRIBE. Returns the messages that are lost.
   *
   * @param next number of the first message that follows
   * @param time from which messages follow, if the server states it; otherwise the time of its answer
   */
  answered({ epoch, next, ended = null }: Answer, time: bigint): Gap[] {
    const gaps = this.ended();
    const line = this.#lines.at(-1);
    if (line && line.epoch !== epoch && ended !== null) {
      const lost = line.lose(ended - 1) + next - 1;
      if (lost) gaps.push(this.#gap(line, time, lost));
      this.#begin(epoch, next, time);
    } else if (!line) {
      this.#begin(epoch, next, time);
    } else if (line.epoch === epoch && next > line.after) {
      const lost = line.lose(next - 1);
      const to = time < line.time ? line.time : time;
      if (lost) gaps.push(this.#gap(line, to, this.#hasOfOtherEpochs(line) ? null : lost));
      this.#lines = [line];
      this.#prune(line);
    } else {
      // Another epoch, or the same one with smaller numbers, which the protocol forbids.
      gaps.push(this.#gap(line, time, null));
      // A publisher may go on in its epoch when the server has forgotten it, and send again what the viewer has.
      this.#lines = line.epoch === epoch ? [] : [line];
      this.#begin(epoch, next, time);
    }
    return gaps;
  }

  /** Returns whether the viewer has messages from other epochs: they may be those whose numbers are missing in this one. */
  #hasOfOtherEpochs(line: Numbering): boolean {
    return [...this.#byTimestamp.values()].some((same) => same.some((one) => one.line !== line));
  }

  /**
   * Notes an answer without a request: the stream has begun another epoch. Messages of the previous epoch may still
   * arrive. An answer about the current epoch changes nothing, as messages before `next` may still arrive.
   */
  changed({ epoch, next, ended = null }: Answer, time: bigint): void {
    const line = this.#lines.at(-1);
    if (line?.epoch === epoch) return;
    const known = this.#lineOf(epoch);
    if (line && ended !== null && this.#ending.length < EPOCHS) this.#ending.push({ line, next: ended, time });
    else if (line) {
      this.#change = { ...this.#gap(line, time, null), from: this.#change?.from ?? line.time };
    }
    // Servers go back to an epoch after they could not reach Redis. What they delivered of it meanwhile has come in
    // another one; if they do not know that nothing is missing, there is a gap without a count.
    if (known && next > known.after) known.pass(next - 1);
    if (!known) {
      this.#begin(epoch, next, time);
      return;
    }
    this.#lines = [...this.#lines.filter((one) => one !== known), known];
    this.#forgetRefused();
  }

  /** Notes that a message arrived. */
  take({ epoch, number, overtakes }: StreamPosition, time: bigint): Taken {
    const line = this.#lineOf(epoch);
    if (!line) return { gaps: [], isNew: true };
    if (line.has(number)) return { gaps: [], isNew: false };
    if (overtakes) {
      const passed = line.add(number);
      return { gaps: passed ? [this.#gap(line, time, passed)] : [], isNew: true };
    }
    const gaps = line === this.#lines.at(-1) ? this.ended() : [];
    const lost = line.pass(number);
    if (lost) gaps.push(this.#gap(line, time, lost));
    line.reach(time);
    this.#prune(line);
    return { gaps, isNew: true };
  }

  /**
   * Notes that a message was refused. The next connection gets it again. If it was refused over an earlier connection as
   * well, it is lost.
   *
   * @returns the gap if the message is lost
   */
  refused(position: StreamPosition, time: bigint): Gap[] {
    const line = this.#lineOf(position.epoch);
    if (!line || line !== this.#lines.at(-1) || line.has(position.number)) return [];
    if (!this.#refusedBefore.has(position.number)) {
      this.#refused.add(position.number);
      if (this.#refused.size > REMEMBERED) this.#refused.delete(this.#refused.values().next().value as number);
      return [];
    }
    const gaps = position.overtakes ? [] : this.ended();
    gaps.push(this.#gap(line, time, 1 + line.add(position.number)));
    this.#prune(line);
    return gaps;
  }

  /** Notes that the connection is lost. */
  disconnected(): void {
    this.#refusedBefore = new Set([...this.#refusedBefore, ...this.#refused].slice(-REMEMBERED));
    this.#refused.clear();
  }

  /** Forgets all numbers, because messages without numbers arrive. Returns the gaps that were not reported yet. */
  forget(): Gap[] {
    this.#lines = [];
    this.#forgetRefused();
    return this.ended();
  }

  /** Returns the gaps that were not reported yet. */
  ended(): Gap[] {
    const gaps = this.#change ? [this.#change] : [];
    this.#change = null;
    for (const { line, next, time } of this.#ending.splice(0)) {
      const lost = line.lose(next - 1);
      if (lost) gaps.push(this.#gap(line, time, lost));
    }
    return gaps;
  }

  #begin(epoch: number, next: number, time: bigint): void {
    this.#lines = [...this.#lines, new Numbering(epoch, next - 1, time)].slice(-EPOCHS);
    this.#forgetRefused();
  }

  #lineOf(epoch: number): Numbering | undefined {
    return this.#lines.find((line) => line.epoch === epoch);
  }

  #gap(line: Numbering, to: bigint, frames: number | null): Gap {
    return { stream: this.#stream, from: line.timeBefore(to), to, frames };
  }

  #forgetRefused(): void {
    this.#refused.clear();
    this.#refusedBefore.clear();
  }

  /** Forgets the refused messages before the position. */
  #prune(line: Numbering): void {
    for (const refused of [this.#refused, this.#refusedBefore])
      for (const number of refused) if (line.has(number)) refused.delete(number);
  }
}

function remember<Key>(kept: Map<Key, ReceivedMessage[]>, key: Key, message: ReceivedMessage): void {
  const same = kept.get(key) ?? [];
  if (same.length < MAX_SAME_KEY) same.push(message);
  kept.set(key, same);
  if (kept.size > REMEMBERED) kept.delete(kept.keys().next().value as Key);
}
