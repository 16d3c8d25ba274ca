import { AsyncLocalStorage } from "node:async_hooks";
import type { Clock } from "../../src/db/time/clock.ts";
import { OwnerScope } from "../../src/db/mod.ts";

interface Token {
  scope: SimulatedScope | undefined;
}

const tokens = new AsyncLocalStorage<Token>();

/**
 * A scope as in workerd, on any runtime. The asynchronous context tells which scope code belongs to: a promise callback
 * runs in the context that registered it. The scope may end at any moment, without any event.
 */
export class SimulatedScope extends OwnerScope {
  /** Whether the runtime ties I/O to the scope. */
  readonly isBound: boolean;
  isDead = false;
  /** Whether it has been busy, so that a permit of its own may have been reclaimed while its socket was open. */
  wasBusy = false;
  /** Steps that were not run as the scope was busy; `undefined` while it is not busy. */
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

  /** Runs a function in the scope's context. */
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

  /** From now on `run` defers its steps to `answer`. */
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

/** The scope that the calling code belongs to. */
export function currentScope(): SimulatedScope | undefined {
  return tokens.getStore()?.scope;
}

/** A clock whose timers belong to the scope that sets them: they end with it, and no other scope can clear them. */
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
