/**
 * How many reads go behind one another although other connections are free. What goes out in one message, and is answered
 * in one, costs both sides less. But a read behind others waits for them. So it is done as long as that makes no difference:
 * the answers of a whole line come within `LINE_MS`, and hardly any read has to be moved from behind a slow one.
 */

/** Reads behind one another come in no more time than this, from the first answer to the last. */
const LINE_MS = 0.25;

/** Most moves that are saved up. */
const MOVES_MAX = 64;

/** How many reads go together in a new trial. */
const START_DEPTH = 4;

/** Most that one answer counts in the mean: a single one that is late does not end a trial. */
const DELAY_MAX_MS = 2;

/** Share of the newest read in the mean. */
const NEWEST = 1 / 128;

/** Of so many reads one may be moved. */
const READS_PER_MOVE = 200;

/** How long no reads go together once they are found too slow. It doubles each time. */
const SHORTEST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 30_000;

export class Gathering {
  /** By how much one read in front delays an answer. */
  #delayMs = LINE_MS / START_DEPTH;
  /** How many reads may be moved now. */
  #moves = MOVES_MAX;
  #pauseMs = SHORTEST_PAUSE_MS;
  /** When the newest trial begins, which may be still to come. */
  #beginsAt = -Infinity;

  depth(nowMs: number): number {
    return nowMs < this.#beginsAt ? 1 : this.#depth;
  }

  /** `answers` have come together. `behind` of them were behind others, and came `behindMs` after those. */
  note(
    { answers, behind, behindMs }: { answers: number; behind: number; behindMs: number },
    nowMs: number,
  ): void {
    this.#moves = Math.min(MOVES_MAX, this.#moves + answers / READS_PER_MOVE);
    if (behind === 0 || nowMs < this.#beginsAt) return;
    const delayMs = Math.min(behindMs, DELAY_MAX_MS) - behind * this.#delayMs;
    this.#delayMs = Math.max(0, this.#delayMs + NEWEST * delayMs);
    if (LINE_MS / this.#delayMs < 2) this.#pause(nowMs);
    else if (nowMs - this.#beginsAt > this.#pauseMs) this.#pauseMs = SHORTEST_PAUSE_MS;
  }

  /** A read was moved from behind a slow one. */
  noteMove(): void {
    this.#moves = Math.max(0, this.#moves - 1);
  }

  get #depth(): number {
    return Math.min(LINE_MS / this.#delayMs, this.#moves);
  }

  #pause(nowMs: number): void {
    this.#delayMs = LINE_MS / START_DEPTH;
    this.#beginsAt = nowMs + this.#pauseMs;
    this.#pauseMs = Math.min(2 * this.#pauseMs, LONGEST_PAUSE_MS);
  }
}
