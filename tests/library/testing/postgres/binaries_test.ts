import { assertEquals, assertMatch } from "@std/assert";
import { preparePostgresBinaries } from "../../../../src/library/testing/postgres/binaries.ts";
import { makeScratch } from "../../../dev/scratch.ts";

Deno.test({
  name: "preparePostgresBinaries() gives concurrent callers the same programs, and they run",
  timeout: 30_000,
  async fn() {
    await using scratch = await makeScratch();
    const [first, ...others] = await Promise.all(
      [1, 2, 3, 4].map(() => preparePostgresBinaries(scratch.path)),
    );
    for (const other of others) assertEquals(other, first);
    for (const program of Object.values(first!)) {
      const { stdout } = await new Deno.Command(program, { args: ["--version"] }).output();
      assertMatch(new TextDecoder().decode(stdout), /\(PostgreSQL\) 18\./);
    }
    const left = await Array.fromAsync(Deno.readDir(scratch.path));
    assertEquals(left.length, 1);
  },
});
