/** Cursors as clients may send them: whole, damaged, and made by themselves. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { decodeCursor, encodeCursor } from "../../src/http/cursor.ts";
import { ProblemError } from "../../src/http/problem.ts";
import type { UserId } from "../../src/users/user_id.ts";
import { type ListPosition, listUsers, type UserFilter } from "../../src/users/user_list.ts";
import { branchDatabase } from "../support/branch_database.ts";

const database = await branchDatabase();

const id = fc.uuid() as fc.Arbitrary<UserId>;
const time = fc.bigInt(0n, 10n ** 16n - 1n).map(String);
const name = fc.string({ unit: "grapheme", minLength: 1, maxLength: 200 })
  .filter((key) => !key.includes("\0"));

const listed: fc.Arbitrary<[ListPosition, UserFilter]> = fc.oneof(
  fc.tuple(
    fc.record({ id, key: time }),
    fc.record({ email: fc.emailAddress() }, { requiredKeys: [] }),
  ),
  fc.tuple(fc.record({ id, key: name }), fc.record({ namePrefix: name })),
);

/** The position, or undefined for a cursor that is refused as it should be. */
function read(cursor: string, filter: UserFilter): ListPosition | undefined {
  try {
    return decodeCursor(cursor, filter);
  } catch (error) {
    assert(error instanceof ProblemError && error.problem.status === 400, String(error));
    return undefined;
  }
}

Deno.test("a cursor is read as the position that it was made of", () => {
  fc.assert(fc.property(listed, ([position, filter]) => {
    assertEquals(decodeCursor(encodeCursor(position, filter), filter), position);
  }));
});

Deno.test("a cursor with one character changed, left out or added is refused", () => {
  const character = fc.constantFrom(..."Az09-_=+/ \n");
  fc.assert(
    fc.property(listed, fc.nat(), character, ([position, filter], at, other) => {
      const cursor = encodeCursor(position, filter);
      const place = at % cursor.length;
      const [before, after] = [cursor.slice(0, place), cursor.slice(place + 1)];
      for (
        const changed of [
          `${before}${other}${after}`,
          before + after,
          `${before}${other}${cursor.slice(place)}`,
        ]
      ) {
        if (changed !== cursor) assertThrows(() => decodeCursor(changed, filter), ProblemError);
      }
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("a cursor of one list is refused by another", () => {
  fc.assert(fc.property(listed, listed, ([position, filter], [, other]) => {
    if (JSON.stringify(filter) === JSON.stringify(other)) return;
    assertThrows(() => decodeCursor(encodeCursor(position, filter), other), ProblemError);
  }));
});

Deno.test("a cursor that a client makes is refused, or the database takes its position", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const text = fc.oneof(
    fc.constantFrom(
      "",
      "0",
      "9".repeat(16),
      "9".repeat(17),
      "-1",
      "1e5",
      "\0",
      "a\0",
      "\u{10ffff}",
    ),
    fc.string({ unit: "binary", maxLength: 300 }),
  );
  const filters = fc.constantFrom<UserFilter>({}, { namePrefix: "a" });
  let taken = 0;
  await fc.assert(
    fc.asyncProperty(fc.oneof(id, text), text, filters, async (id, key, filter) => {
      const position = { id: id as UserId, key: key.toWellFormed() };
      const after = read(encodeCursor(position, filter), filter);
      if (after === undefined) return;
      taken++;
      await using session = db.session({ readOnly: true });
      await listUsers(session, { limit: 1, after, ...filter });
    }),
    { numRuns: 300 },
  );
  assert(taken > 20, `${taken} were taken`);
});

Deno.test("any text is a cursor, or refused", () => {
  const text = fc.oneof(fc.string({ unit: "binary" }), fc.base64String(), fc.string());
  fc.assert(
    fc.property(text, (cursor) => {
      assertEquals(read(cursor, {}), undefined);
    }),
    { numRuns: 2_000 },
  );
});
