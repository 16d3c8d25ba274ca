/** How long a connection is held. */

export function microtask(): Promise<void> {
  return Promise.resolve();
}

let turn: Promise<void> | undefined;

/** One turn for all that wait for one, so that the loop's own cost does not hide the pools'. */
export function loopTurn(): Promise<void> {
  return turn ??= new Promise((resolve) => {
    setImmediate(() => {
      turn = undefined;
      resolve();
    });
  });
}
