/** The form of addresses and names that 0009 stores: what it is, and what stands in its way. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { ServerError, trustedSql } from "../../src/db/mod.ts";
import { migrate } from "../../src/dev/migrate.ts";
import { applyMigrations, MigrationObstructedError } from "../../src/migrations/apply.ts";
import { migrations } from "../../src/migrations/mod.ts";
import { localDatabase } from "../support/local_database.ts";
import { turkishDatabase } from "../support/turkish_database.ts";

const database = await localDatabase();

/** Whether two characters are one in Unicode's simple case folding, as regular expressions have it. */
function isSameLetter(one: string, other: string): boolean {
  const escaped = `\\u{${other.codePointAt(0)!.toString(16)}}`;
  return new RegExp(`^${escaped}$`, "iu").test(one);
}

Deno.test("names are folded by Unicode's simple case folding of Latin, Greek, Cyrillic and Armenian", async () => {
  await using branch = await database.connect();
  const letters: string[] = [];
  for (let code = 1; code < 0x3000; code++) letters.push(String.fromCodePoint(code));
  letters.push("漢", "\u{1F600}", "\u{10400}", "Ａ");
  const codes = letters.map((letter) => letter.codePointAt(0)).join(",");
  const rows = await branch.asAdmin<{ folded: string }>(
    `select case_folded(chr(code)) as folded
     from unnest(array[${codes}]) with ordinality as letter (code, place) order by place`,
  );
  let changed = 0;
  for (const [index, letter] of letters.entries()) {
    const folded = rows[index]!.folded;
    if (folded !== letter) {
      changed++;
      assert(isSameLetter(letter, folded), `${letter} became ${folded}`);
      continue;
    }
    const isCovered = letter < "\u0590" || (letter >= "\u1E00" && letter < "\u1F00");
    const lower = letter.toLowerCase();
    if (isCovered && [...lower].length === 1 && lower !== letter) {
      assert(!isSameLetter(letter, lower), `${letter} stayed`);
    }
  }
  assertEquals(changed, 26 + 578);
  const [same] = await branch.asAdmin(`select
    case_folded('ΣΑΣ') = case_folded('σας') as greek,
    case_folded('STRASSE') = case_folded('Straße') as "isFull",
    case_folded('Иван') = case_folded('ИВАН') as cyrillic,
    case_folded('') as empty`);
  assertEquals(same, { greek: true, isFull: false, cyrillic: true, empty: "" });
});

Deno.test("0009 names the users that have one address, changes nothing, and can be repeated", async () => {
  await using branch = await database.connect();
  await using turkish = await turkishDatabase(branch);
  const db = turkish.branch.open();
  const before = migrations.filter(({ name }) => name < "0008");
  await applyMigrations(db, before);
  const ids = ["1", "2", "3", "4"].map((digit) => `0000000${digit}-0000-7000-8000-000000000000`);
  const emails = ["info@x.com", "INFO@x.com", "id@x.com", "other@x.com"];
  // The old index takes the first two for different addresses.
  await db.transaction((session) =>
    session.commit(ids.map((id, index) =>
      trustedSql(
        `insert into users (id, email, name) values ('${id}', '${emails[index]}', 'Ada')`,
      )
    ))
  );
  const error = await assertRejects(() => migrate(turkish.env), MigrationObstructedError);
  assertEquals(
    error.message,
    `Cannot apply 0009_user_search as rows are in its way: users ${ids[0]} and ${
      ids[1]
    } have one ` +
      "e-mail address; change the address of all but one of them, or delete them, and migrate again",
  );
  const names = await turkish.branch.asAdmin("select name from migrations order by name");
  assertEquals(names.map(({ name }) => name), before.map(({ name }) => name));
  await turkish.branch.asAdmin(`delete from users where id = '${ids[1]}'`);
  assertEquals((await migrate(turkish.env)).slice(0, 2), ["0008_tenants", "0009_user_search"]);
});

Deno.test("the version before finds its unique index under the same name", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const insert = (email: string) =>
    db.transaction((session) =>
      session.commit([trustedSql(
        `insert into users (id, email, name) values (gen_random_uuid(), '${email}', 'Ada') ` +
          "returning id, email, name, version, created_at, updated_at",
      )])
    );
  await insert("info@version.before");
  const error = await assertRejects(() => insert("INFO@version.before"), ServerError);
  assertEquals([error.sqlState, error.constraint], ["23505", "users_email_key"]);
});

Deno.test("no generated column calls a function in SQL, which each INSERT would parse anew", async () => {
  await using branch = await database.connect();
  const called = await branch.asAdmin<{ name: string; language: string }>(`
    select distinct proname::text as name, lanname::text as language
    from pg_attrdef expression
      join pg_attribute on attrelid = adrelid and attnum = adnum and attgenerated <> ''
      join pg_depend on classid = 'pg_attrdef'::regclass and objid = expression.oid
      join pg_proc on refclassid = 'pg_proc'::regclass and refobjid = pg_proc.oid
      join pg_language on pg_language.oid = prolang`);
  assertEquals(called, [{ name: "case_folded", language: "plpgsql" }]);
});
