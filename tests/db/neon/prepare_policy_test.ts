/** Where statements are named when the process id does not tell that a connection is direct. */
import { assertEquals } from "@std/assert";
import {
  PreparedStatements,
  type PrepareMode,
  PreparePolicy,
} from "../../../src/db/neon/prepared_statements.ts";
import { serverError } from "../../support/scripted_driver.ts";

const begin = { text: "begin", values: [], isStatic: true } as const;

const NEON = "ep-x-1.eu-central-1.aws.neon.tech";
const POOLER = "ep-x-1-pooler.eu-central-1.aws.neon.tech";
const OTHER = "db.example.com";

for (
  const [mode, host, isDirect, names] of [
    ["auto", OTHER, true, true],
    ["auto", OTHER, false, false],
    ["auto", OTHER, undefined, false],
    ["auto", POOLER, false, true],
    ["auto", POOLER, undefined, true],
    ["auto", NEON, false, true],
    ["auto", "neon.tech.example.com", false, false],
    ["on", OTHER, false, true],
    ["on", OTHER, undefined, true],
    ["off", POOLER, true, false],
    ["off", OTHER, true, false],
  ] as [PrepareMode, string, boolean | undefined, boolean][]
) {
  const where = isDirect === undefined ? "before the answer" : isDirect ? "directly" : "indirectly";
  Deno.test(`DATABASE_PREPARE=${mode} at ${host}, ${where}: ${names ? "named" : "unnamed"}`, () => {
    const statements = new PreparedStatements(new PreparePolicy({ mode, host }));
    if (isDirect !== undefined) statements.learn({ isDirect });
    assertEquals(statements.use(begin) !== undefined, names);
  });
}

Deno.test("a statement that is missing behind a pooler stops naming on all connections but the direct ones", () => {
  const policy = new PreparePolicy({ mode: "on", host: OTHER });
  const connections = [false, false, true].map((isDirect) => {
    const statements = new PreparedStatements(policy);
    statements.learn({ isDirect });
    return statements;
  });
  const used = connections.map((statements) => statements.use(begin)!);
  const missing = serverError("26000", "prepared statement does not exist");
  assertEquals(
    connections[0]!.noteError(missing, used[0]!.prepared, { wasParsed: false, isBound: false }),
    true,
  );
  assertEquals(connections.map((statements) => statements.use(begin) !== undefined), [
    false,
    false,
    true,
  ]);
});

Deno.test("a statement that is missing on a direct connection is forgotten there only", () => {
  const policy = new PreparePolicy({ mode: "auto", host: OTHER });
  const [one, other] = [new PreparedStatements(policy), new PreparedStatements(policy)];
  for (const statements of [one, other]) statements.learn({ isDirect: true });
  const { prepared } = one.use(begin)!;
  other.use(begin);
  assertEquals(
    one.noteError(serverError("42P05", "already exists"), prepared, {
      wasParsed: true,
      isBound: false,
    }),
    true,
  );
  assertEquals([one.use(begin)!.isNew, other.use(begin)!.isNew], [true, false]);
});
