/** The promise's rejection reason; `undefined` if it is fulfilled. */
export async function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(() => undefined, (error) => error);
}
