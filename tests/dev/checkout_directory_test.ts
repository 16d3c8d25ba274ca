import { assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { postgresDirectory } from "../../src/dev/checkout_directory.ts";
import { startPostgres } from "../../src/dev/postgres.ts";
import { makeScratch } from "../dev/scratch.ts";

const isRoot = Deno.uid() === 0;

Deno.test("postgresDirectory() is in the checkout when the server's account can reach it", async () => {
  await using scratch = await makeScratch();
  assertEquals(await postgresDirectory(scratch.path), join(scratch.path, ".local", "postgres"));
});

Deno.test({
  name: "postgresDirectory() is in /var/tmp when other users cannot enter root's checkout",
  ignore: !isRoot,
  timeout: 30_000,
  async fn() {
    await using scratch = await makeScratch();
    await Deno.chmod(scratch.path, 0o700);
    const directory = await postgresDirectory(scratch.path);
    try {
      assertEquals(directory.startsWith("/var/tmp/user-service-"), true);
      assertEquals(await postgresDirectory(scratch.path), directory);
      const pointer = join(scratch.path, ".local", "postgres-directory");
      assertEquals(await Deno.readTextFile(pointer), `${directory}\n`);
      await using postgres = await startPostgres({ directory, ephemeral: true });
      assertEquals(postgres.directory.startsWith(directory), true);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
});

Deno.test({
  name: "postgresDirectory() refuses a directory in /var/tmp that other users can write",
  ignore: !isRoot,
  async fn() {
    await using scratch = await makeScratch();
    await Deno.chmod(scratch.path, 0o700);
    const directory = await postgresDirectory(scratch.path);
    try {
      await Deno.chmod(directory, 0o777);
      const ask = () => postgresDirectory(scratch.path);
      await assertRejects(
        ask,
        Error,
        "as it is not a directory that only root can write; remove it",
      );
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
});
