/** How long a connection is held. */

export function microtask(): Promise<void> {
  return Promise.resolve();
}

let turn: Promise<void> | undefined;

/** All holders of a connection wait for the same turn, so that the cost of the event loop does not hide that of the pools. */
export function loopTurn(): Promise<void> {
  return turn ??= new Promise((resolve) => {
    setImmediate(() => {
      turn = undefined;
      resolve();
    });
  });
}
