import { assert } from "@std/assert";

/** Checks the types of a module's source with the configuration, and loads it. Throws with the errors. */
export async function importChecked<Module>(source: string, config: URL): Promise<Module> {
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, source);
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", "--config", config.pathname, file],
      env: { NO_COLOR: "1" },
    }).output();
    assert(success, new TextDecoder().decode(stderr));
    return await import(new URL(`file://${file}`).href);
  } finally {
    await Deno.remove(file);
  }
}
