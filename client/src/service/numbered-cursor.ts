/**
 * How far a viewer has got in a stream of version 4, whose messages are numbered 1, 2, 3, ... in each epoch.
 *
 * Messages arrive in order, except for urgent ones, which overtake. So a cursor consists of the last number in line, and the
 * numbers behind it that overtook. A message in line tells exactly what is lost before it. No clock matters: times are
 * only told with a gap.
 */

import type { Line, Resumption } from "../session/client-session.js";
import type { Place, Places } from "../session/stream-book.js";
import type { Gap, Taken } from "./cursor.js";

/** Numbers behind the line that are remembered, of messages that overtook and of messages that were refused. */
const REMEMBERED = 1024;
/** Epochs whose messages may arrive: the present one, and the one before it. */
const EPOCHS = 2;

/** The numbers of one epoch. */
class Numbering {
  readonly epoch: number;
  /** Everything up to this number has arrived, or is told as lost. */
  after: number;
  /** Time of the last message in line; before the first, that of the answer that began the line. */
  time: bigint;
  #isTimeOfAnswer = true;
  /** Numbers after it that have arrived, or are told as lost. */
  readonly #ahead = new Set<number>();

  constructor(epoch: number, after: number, time: bigint) {
    this.epoch = epoch;
    this.after = after;
    this.time = time;
  }

  has(number: number): boolean {
    return number <= this.after || this.#ahead.has(number);
  }

  /** Notes when the last message in line was sent. */
  reach(time: bigint): void {
    this.time = time;
    this.#isTimeOfAnswer = false;
  }

  /** The time after which a gap begins that ends at another: messages that the server kept are older than its answer. */
  timeBefore(time: bigint): bigint {
    return this.#isTimeOfAnswer && time < this.time ? time : this.time;
  }

  /** Moves the line to a number; returns how many before it were passed and had not arrived. */
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

  /** Moves the line to a number that is lost, unless it has arrived; returns how many are lost. */
  lose(number: number): number {
    const lost = this.has(number) ? 0 : 1;
    return number > this.after ? this.pass(number) + lost : 0;
  }

  /** Notes a number that is not in line; returns how many numbers were passed, as too many are ahead. */
  add(number: number): number {
    this.#ahead.add(number);
    this.#close();
    return this.#ahead.size > REMEMBERED ? this.pass(Math.min(...this.#ahead)) : 0;
  }

  /** Moves the line over the numbers that follow it and are ahead. */
  #close(): void {
    while (this.#ahead.delete(this.after + 1)) this.after++;
  }
}

/** What an answer says of the numbers of a stream; see `Line`. */
type Answer = Pick<Line, "epoch" | "next"> & Partial<Pick<Line, "ended">>;

export class NumberedCursor implements Places {
  readonly #stream: string;
  /** By epoch, the present one last. */
  #lines: Numbering[] = [];
  /** What is unknown since the epoch changed; told before the next message in line. */
  #change: Gap | null = null;
  /** Epochs whose number that would have been next is known, and when they ended; told in the same way. */
  #ending: { readonly line: Numbering; readonly next: number; readonly time: bigint }[] = [];
  /** Numbers of the present epoch that were refused over this connection, and over earlier ones. */
  #refused = new Set<number>();
  #refusedBefore = new Set<number>();

  constructor(stream: string) {
    this.#stream = stream;
  }

  /** Where to resume over a new connection; null if no answer has told it. */
  get place(): Resumption | null {
    const line = this.#lines.at(-1);
    return line ? { epoch: line.epoch, after: line.after } : null;
  }

  isHad({ epoch, number }: Place): boolean {
    return this.#lineOf(epoch)?.has(number) ?? false;
  }

  wasRefused({ epoch, number }: Place): boolean {
    return epoch === this.#lines.at(-1)?.epoch && this.#refusedBefore.has(number);
  }

  /**
   * Notes the server's answer to SUBSCRIBE. Returns the messages that are lost.
   *
   * @param next number of the first message that follows
   * @param time from which messages follow, as far as the server says so; else that of its answer
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
      if (lost) gaps.push(this.#gap(line, time, lost));
      this.#lines = [line];
      this.#prune(line);
    } else {
      // Another numbering, or the same one set back, which no server does that keeps to the protocol.
      gaps.push(this.#gap(line, time, null));
      // A publisher may go on in its epoch when the server has forgotten it, and send again what is had.
      this.#lines = line.epoch === epoch ? [] : [line];
      this.#begin(epoch, next, time);
    }
    return gaps;
  }

  /**
   * Notes an answer that nobody asked for: the stream has begun another epoch. Messages of the one before may still
   * arrive. An answer about the present epoch changes nothing, as messages before `next` may still arrive.
   */
  changed({ epoch, next, ended = null }: Answer, time: bigint): void {
    const line = this.#lines.at(-1);
    if (line?.epoch === epoch) return;
    if (line && ended !== null && this.#ending.length < EPOCHS) this.#ending.push({ line, next: ended, time });
    else if (line) this.#change = { ...this.#gap(line, time, null), from: this.#change?.from ?? line.time };
    const known = this.#lineOf(epoch);
    if (!known) {
      this.#begin(epoch, next, time);
      return;
    }
    this.#lines = [...this.#lines.filter((one) => one !== known), known];
    this.#forgetRefused();
  }

  /** Notes that a message arrived. */
  take({ epoch, number, overtakes }: Place, time: bigint): Taken {
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
   * Notes that a message was refused: it is not had. If it was refused over an earlier connection, too, it is given up.
   *
   * @returns the gap, if it is given up
   */
  refused(place: Place, time: bigint): Gap[] {
    const line = this.#lineOf(place.epoch);
    if (!line || line !== this.#lines.at(-1) || line.has(place.number)) return [];
    if (!this.#refusedBefore.has(place.number)) {
      this.#refused.add(place.number);
      if (this.#refused.size > REMEMBERED) this.#refused.delete(this.#refused.values().next().value as number);
      return [];
    }
    const gaps = place.overtakes ? [] : this.ended();
    gaps.push(this.#gap(line, time, 1 + line.add(place.number)));
    this.#prune(line);
    return gaps;
  }

  /** Notes that the connection is lost. */
  disconnected(): void {
    this.#refusedBefore = new Set([...this.#refusedBefore, ...this.#refused].slice(-REMEMBERED));
    this.#refused.clear();
  }

  /** Forgets all numbers, as messages arrive that have none. Returns the gaps that were not told yet. */
  forget(): Gap[] {
    this.#lines = [];
    this.#forgetRefused();
    return this.ended();
  }

  /** Returns the gaps that were not told yet. */
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

  /** Forgets the refused messages that the line has passed. */
  #prune(line: Numbering): void {
    for (const refused of [this.#refused, this.#refusedBefore])
      for (const number of refused) if (line.has(number)) refused.delete(number);
  }
}
