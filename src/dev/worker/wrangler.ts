/** `deno task wrangler`: Cloudflare's command line, in Deno, under a lock of its own; the development stack needs none of it. */
import { delimiter, dirname, join } from "node:path";
import { lockedRun } from "./locked_run.ts";
import { checkoutDirectory } from "../postgres/directory.ts";

const WRANGLER = "npm:wrangler@4.155.0";

const ENV = {
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_SEND_ERROR_REPORTS: "false",
  // It asks for a newer version.
  WRANGLER_HIDE_BANNER: "true",
  // Nothing outside the checkout.
  WRANGLER_LOG_PATH: join(checkoutDirectory, ".wrangler", "logs"),
  WRANGLER_REGISTRY_PATH: join(checkoutDirectory, ".wrangler", "registry"),
};

/** A run of wrangler in the checkout, or in a copy of it. */
export function wrangler(
  args: readonly string[],
  { env = {}, ...options }: Omit<Deno.CommandOptions, "args"> = {},
): Deno.Command {
  // It runs `deno task bundle`.
  const path = `${dirname(Deno.execPath())}${delimiter}${Deno.env.get("PATH") ?? ""}`;
  return new Deno.Command(Deno.execPath(), {
    args: [
      ...lockedRun(import.meta.dirname!, { lock: "wrangler.lock", program: WRANGLER }),
      ...args,
    ],
    cwd: checkoutDirectory,
    env: { ...ENV, ...env, PATH: path },
    ...options,
  });
}

if (import.meta.main) {
  // A Ctrl-C reaches wrangler, too, which says when it is over.
  Deno.addSignalListener("SIGINT", () => {});
  const { code } = await wrangler(Deno.args).spawn().status;
  Deno.exit(code);
}
