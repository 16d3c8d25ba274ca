/**
 * `deno task wrangler`: runs Cloudflare's command line in Deno, with a lock of its own, because `deno task dev` does
 * not need it.
 */
import { delimiter, dirname, join } from "node:path";
import { lockedRun } from "./locked_run.ts";
import { checkoutDirectory } from "../checkout_directory.ts";

const WRANGLER = "npm:wrangler@4.155.0";

const ENV = {
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_SEND_ERROR_REPORTS: "false",
  // With the banner, wrangler looks for a newer version.
  WRANGLER_HIDE_BANNER: "true",
  // Keep its files inside the checkout.
  WRANGLER_LOG_PATH: join(checkoutDirectory, ".wrangler", "logs"),
  WRANGLER_REGISTRY_PATH: join(checkoutDirectory, ".wrangler", "registry"),
};

/** The command that runs wrangler, in the checkout unless `options` name another directory. */
export function wrangler(
  args: readonly string[],
  { env = {}, ...options }: Omit<Deno.CommandOptions, "args"> = {},
): Deno.Command {
  // Wrangler runs `deno task bundle`, so it must find `deno`.
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
  // A terminal's Ctrl-C reaches wrangler too: keep running until wrangler has ended.
  Deno.addSignalListener("SIGINT", () => {});
  const { code } = await wrangler(Deno.args).spawn().status;
  Deno.exit(code);
}
