import { type AcquireOptions, type Lease, Pool, type PoolOptions } from "../../../src/db/mod.ts";
import type { Holding } from "./model_link.ts";
import type { Run } from "./run.ts";
import type { Unit } from "./unit.ts";

/** Tells the run of leases as they come and go, without a turn of the microtask queue of its own. */
export class WatchedPool extends Pool {
  readonly #run: Run;

  constructor(run: Run, options: PoolOptions) {
    super(options);
    this.#run = run;
  }

  override acquire(options: AcquireOptions): Promise<Lease> {
    const { timeline } = this.#run;
    const unit = this.#run.unitOf(options.label);
    timeline.point(`${options.label} asks for a lease`, { unit });
    const acquired = super.acquire(options);
    acquired.then((lease) => this.#watch(lease, unit), () => {});
    return acquired;
  }

  #watch(lease: Lease, unit: Unit | undefined): void {
    const { timeline } = this.#run;
    const link = this.#run.linkOf(lease.server);
    if (link === undefined || unit === undefined) return;
    const { connection } = lease;
    const hasLeft = lease.isShared ? () => connection.state === "closed" : undefined;
    const holding: Holding = { unit, isOver: false, hasLeft };
    const other = link.holders.find((other) => !(other.hasLeft && hasLeft));
    if (other !== undefined) {
      timeline.violate(`${other.unit.caller} and ${unit.caller} hold one connection`);
    }
    link.hold(holding);
    this.#run.onLease(lease);
    if (lease.isShared) {
      const flight = connection.flight.bind(connection);
      connection.flight = (parts, options) => {
        link.sender = holding;
        return flight(parts, options);
      };
    }
    for (const way of ["release", "destroy"] as const) {
      const giveBack = lease[way].bind(lease);
      lease[way] = () => {
        if (holding.isOver) return giveBack();
        timeline.point(`${unit.caller} gives its lease back by ${way}`, { unit, link });
        holding.isOver = true;
        const given = giveBack();
        timeline.point(`${unit.caller} has given its lease back`, { unit, link });
        return given;
      };
    }
    timeline.point(`${unit.caller} has a lease`, { unit, link });
  }
}
