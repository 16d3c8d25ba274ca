/** The same honest requests to an attacked service and, at the same time, to one that nobody attacks. */
import { atLeast, atMost, type Measure, zero } from "../endurance/verdict.ts";
import { HonestClient } from "./clients.ts";
import { startTarget, type Target } from "./target.ts";

/**
 * Most of the p99 of a service that nobody attacks: if it is slower, the machine is too busy to show anything, or the attack
 * takes the processors from all.
 */
const BUSY_MS = 250;

export class HonestPair implements AsyncDisposable {
  readonly #unattacked: Target;
  readonly #clients = new AsyncDisposableStack();
  readonly #honest: HonestClient;
  readonly #control: HonestClient;

  private constructor(url: string, unattacked: Target, perSecond: number) {
    this.#unattacked = unattacked;
    this.#honest = this.#clients.use(new HonestClient(url, { perSecond }));
    this.#control = this.#clients.use(new HonestClient(unattacked.url, { perSecond }));
  }

  static async start(url: string, { perSecond }: { perSecond: number }): Promise<HonestPair> {
    return new HonestPair(url, await startTarget(), perSecond);
  }

  /** The attack begins: what came before does not count. */
  begin(): void {
    this.#honest.take();
    this.#control.take();
  }

  /**
   * What the attack has added since `begin`. Other processes of the machine delay both services. The clients then leave:
   * the more slowly they were answered, the more connections they have, and those are no attacker's.
   */
  async added({ least = 0 }: { least?: number } = {}): Promise<Measure[]> {
    const [served, unattacked] = [this.#honest.take(), this.#control.take()];
    await this.#clients.disposeAsync();
    return [
      [
        "honest requests during the attack",
        served.count,
        atLeast(Math.max(least, 0.9 * unattacked.count)),
      ],
      [`honest requests that failed: ${served.firstFailure}`, served.failures, zero],
      ["requests to a service that nobody attacks", unattacked.count, atLeast(50)],
      [`those that failed: ${unattacked.firstFailure}`, unattacked.failures, zero],
      ["their p99 (ms)", unattacked.p99, atMost(BUSY_MS)],
      ["p99 of the honest requests (ms)", served.p99, atMost(unattacked.p99 + 100)],
      ["longest of those to a service that nobody attacks (ms)", unattacked.max],
      ["longest of the honest requests (ms)", served.max],
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#clients.disposeAsync();
    await this.#unattacked[Symbol.asyncDispose]();
  }
}
