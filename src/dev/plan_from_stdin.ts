/** How a child process of ours is told what to do, and that it is over: its standard input, which its parent's death ends, too. */
export interface GivenPlan<Plan> {
  /** The first line, as JSON. */
  readonly plan: Plan;
  /** Resolves at the end of the input. */
  over(): Promise<void>;
}

/** `undefined` if the input ended before it had a line. */
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
