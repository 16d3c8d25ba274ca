/**
 * Whose leases count together: a request. A holder of a lease must not wait until another one returns its own: holders
 * that do so wait for one another, and none of them ever goes on.
 */
export class LeaseHolder {
  /** Leases that it has not returned, and whose connections live. */
  leased = 0;
  /** Its callers in the queue. */
  waiting = 0;
}
