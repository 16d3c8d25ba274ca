import { AsyncLocalStorage } from "node:async_hooks";
import type { Clock } from "../../src/db/time/clock.ts";
import { OwnerScope } from "../../src/db/mod.ts";

interface Token {
  scope: SimulatedScope | undefined;
}

const tokens = new AsyncLocalStorage<Token>();

/**
 * A scope as workerd has them, anywhere: what runs on its behalf is told by the asynchronous context, in which the
 * continuation of a promise runs where it was written down; and it may end at any moment, without a word.
 */
export class SimulatedScope extends OwnerScope {
  /** Whether the runtime ties I/O to it. */
  readonly isBound: boolean;
  isDead = false;
  /** Whether it has been busy, so that a permit of its own may have been reclaimed while its socket was open. */
  wasBusy = false;
  /** What it has been called in for while it was busy; `undefined` while it answers at once. */
  #missed: (() => void)[] | undefined;
  readonly #token: Token;

  private constructor(
    { lasting, isBound, token }: { lasting: boolean; isBound: boolean; token: Token },
  ) {
    super(lasting);
    this.isBound = isBound;
    this.#token = token;
    token.scope = this;
  }

  static open({ lasting, isBound }: { lasting: boolean; isBound: boolean }): SimulatedScope {
    const token: Token = { scope: undefined };
    return tokens.run(token, () => new SimulatedScope({ lasting, isBound, token }));
  }

  /** Runs on the scope's behalf. */
  enter<T>(act: () => T): T {
    return tokens.run(this.#token, act);
  }

  get isBusy(): boolean {
    return this.#missed !== undefined;
  }

  override isCurrent(): boolean {
    return !this.isBound || tokens.getStore() === this.#token;
  }

  override run(step: () => void): void {
    super.run(() => {
      if (this.#missed !== undefined) this.#missed.push(step);
      else if (!this.isDead) step();
    });
  }

  /** From now on it does not come to what it is called in for. */
  beBusy(): void {
    this.wasBusy = true;
    this.#missed ??= [];
  }

  answer(): void {
    const missed = this.#missed ?? [];
    this.#missed = undefined;
    this.enter(() => missed.forEach((step) => step()));
  }
}

/** On whose behalf the code runs that asks. */
export function currentScope(): SimulatedScope | undefined {
  return tokens.getStore()?.scope;
}

/** A clock whose timers belong to whoever sets them: they end with their owner, and nobody else can clear them. */
export function ownedTimers(clock: Clock): Clock {
  return {
    now: () => clock.now(),
    after(timeMs, callback) {
      const owner = currentScope();
      const inContext = AsyncLocalStorage.bind(callback);
      const cancel = clock.after(timeMs, () => {
        if (!owner?.isDead) inContext();
      });
      return () => {
        if (owner?.isCurrent() ?? true) cancel();
      };
    },
  };
}
