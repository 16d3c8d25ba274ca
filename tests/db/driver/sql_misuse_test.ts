/** In `sql_misuse.txt`, each line that is marked `// refused` does not compile, and every other line does. */
import { assert, assertEquals } from "@std/assert";

const fixture = new URL("sql_misuse.txt", import.meta.url);
const root = new URL("../../..", import.meta.url);

/** The lines, counted from 1, for which `deno check` reports an error. */
async function refusedLines(source: string): Promise<number[]> {
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, source);
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", "--config", new URL("deno.json", root).pathname, file],
      cwd: root,
      env: { NO_COLOR: "1" },
    }).output();
    const text = new TextDecoder().decode(stderr);
    const places = text.matchAll(/at file:\/\/\S+\.ts:(\d+):\d+/g);
    const lines = [...new Set(Array.from(places, ([, line]) => Number(line)))];
    assertEquals(code === 0, lines.length === 0, text);
    return lines.sort((one, other) => one - other);
  } finally {
    await Deno.remove(file);
  }
}

Deno.test("values spliced into SQL as text, and rows of a wrong shape, do not compile", async () => {
  const mod = new URL("src/db/mod.ts", root).href;
  const source = (await Deno.readTextFile(fixture)).replace("$mod", mod);
  const marked = source.split("\n").flatMap((line, index) =>
    line.endsWith("// refused") ? [index + 1] : []
  );
  assert(marked.length > 0);
  assertEquals(await refusedLines(source), marked);
});
