/**
 * The instructions of a child process, read from its standard input. The input stays open until the parent closes it or
 * ends, which tells the child to stop.
 */
export interface GivenPlan<Plan> {
  /** The first line, parsed as JSON. */
  readonly plan: Plan;
  /** Resolves at the end of the input. */
  over(): Promise<void>;
}

/** Waits for the first line; `undefined` if the input ended before it. */
export async function planFromStdin<Plan>(): Promise<GivenPlan<Plan> | undefined> {
  const input = Deno.stdin.readable.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { done, value } = await input.read();
    if (done) return undefined;
    text += value;
  }
  return {
    plan: JSON.parse(text),
    async over() {
      while (!(await input.read()).done);
    },
  };
}
