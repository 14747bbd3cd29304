/** Delays the answers to PINGs until the page has taken the messages before, so that the server sends no faster than that. */

/** Milliseconds after which an answer no longer waits for a frame of the display, which a covered page may not get. */
const LONGEST_FRAME = 250;
/** Milliseconds after which an answer no longer waits for promises of callbacks. */
const LONGEST_TAKING = 1000;

/**
 * The answers to the PINGs of one connection, in the order of the PINGs.
 *
 * An answer waits until the promises of earlier messages' callbacks are settled, for at most a second. In a visible page, it then
 * waits until the next frame is drawn. A page that is frozen answers nothing.
 */
export class PingAnswers {
  readonly #waiting: (() => void)[] = [];
  readonly #taking: () => Iterable<PromiseLike<unknown>>;

  /** @param taking returns the promises of callbacks that are not settled */
  constructor(taking: () => Iterable<PromiseLike<unknown>>) {
    this.#taking = taking;
  }

  /** Calls `answer` when the page has taken what came before: at once, if nothing shows that it has not. */
  add(answer: () => void): void {
    const pending = [...this.#taking()];
    this.#waiting.push(() => {
      if (pending.length === 0) this.#drawn(answer);
      else settled(pending, () => this.#drawn(answer));
    });
    if (this.#waiting.length === 1) this.#waiting[0]();
  }

  #drawn(answer: () => void): void {
    afterFrame(() => {
      this.#waiting.shift();
      answer();
      this.#waiting[0]?.();
    });
  }
}

/** Calls back once all promises are settled, or have taken too long. */
function settled(promises: readonly PromiseLike<unknown>[], then: () => void): void {
  const late = new Promise((resolve) => setTimeout(resolve, LONGEST_TAKING));
  void Promise.race([Promise.allSettled(promises), late]).then(then);
}

/** Calls back once the page has drawn its next frame; at once in a hidden page, and where there is none, as in Node. */
function afterFrame(then: () => void): void {
  if (globalThis.document?.visibilityState !== "visible") {
    then();
    return;
  }
  let isDone = false;
  const once = () => {
    if (isDone) return;
    isDone = true;
    clearTimeout(timer);
    then();
  };
  const timer = setTimeout(once, LONGEST_FRAME);
  requestAnimationFrame(() => setTimeout(once));
}
