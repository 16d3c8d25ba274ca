/** SCRAM without a server: passwords, and servers that do not keep to it. With servers: `tests/library/scram_login_test.ts`. */
import { assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { saslPrep } from "../../../src/db/neon/sasl_prep.ts";
import { ScramLogin, ScramPassword } from "../../../src/db/neon/scram.ts";

const SALT = btoa("a salt of 16 byt");

function login(password = "pencil") {
  const scram = new ScramLogin(new ScramPassword(password), {
    channelBinding: "prefer",
    certificateHash: undefined,
  });
  const { response } = scram.start(["SCRAM-SHA-256"]);
  return { scram, nonce: response.split("r=")[1]! };
}

Deno.test("a password becomes what SASLprep makes of it, or stays where SASLprep forbids it", () => {
  for (
    const [password, prepared] of [
      // The examples of RFC 4013, section 3.
      ["I\u00adX", "IX"],
      ["user", "user"],
      ["USER", "USER"],
      ["\u00aa", "a"],
      ["\u2168", "IX"],
      ["\u0007", "\u0007"],
      ["e\u0301", "\u00e9"],
      ["\ufb01", "fi"],
      ["a\u00a0b\u3000c", "a b c"],
      ["a b", "a b"],
      ["\u200b", "\u200b"],
      // Unassigned in Unicode 3.2, forbidden, of private use: as it is, and not the rest of it prepared.
      ["\u{1f600}\ufb01", "\u{1f600}\ufb01"],
      ["\u2028\ufb01", "\u2028\ufb01"],
      ["\ue000\ufb01", "\ue000\ufb01"],
      ["\u0001\ufb01", "\u0001\ufb01"],
    ]
  ) assertEquals(saslPrep(password!), prepared, JSON.stringify(password));
});

Deno.test("each login has a nonce of its own, without a comma", () => {
  const nonces = Array.from({ length: 100 }, () => login().nonce);
  assertEquals(new Set(nonces).size, 100);
  assertEquals(nonces.filter((nonce) => !/^[!-+\--~]{24}$/.test(nonce)), []);
});

Deno.test("a challenge that is none is refused", async () => {
  for (
    const challenge of [
      "",
      "e=other-error",
      `r=NONCE,s=${SALT},i=4096`,
      `r=elsewhere,s=${SALT},i=4096`,
      `r=NONCEmore,s=${SALT},i=0`,
      `r=NONCEmore,s=${SALT},i=4096x`,
      `r=NONCEmore,s=${SALT},i=-1`,
      `r=NONCEmore,s=,i=4096`,
      `r=NONCEmore,s=%%%,i=4096`,
      `r=NONCEm\u00e4,s=${SALT},i=4096`,
      `r=NONCEmore,i=4096,s=${SALT}`,
      `m=must,r=NONCEmore,s=${SALT},i=4096`,
      `s=${SALT},i=4096`,
    ]
  ) {
    const { scram, nonce } = login();
    await assertRejects(
      () => scram.answer(challenge.replace("NONCE", nonce)),
      Error,
      "the server's challenge of SCRAM cannot be used",
      challenge,
    );
  }
});

Deno.test("a server that asks for hours of computing is refused", async () => {
  for (const iterations of ["1000001", "4294967296", "9".repeat(400)]) {
    const { scram, nonce } = login();
    await assertRejects(
      () => scram.answer(`r=${nonce}more,s=${SALT},i=${iterations}`),
      Error,
      "the limit is 1000000",
    );
  }
});

Deno.test("a server that has not shown that it knows the password is refused", async () => {
  for (const outcome of ["", "v=", "v=undefined", `v=${btoa("x".repeat(32))}`, "e=invalid-proof"]) {
    for (const answers of [true, false]) {
      const { scram, nonce } = login();
      if (answers) await scram.answer(`r=${nonce}more,s=${SALT},i=2`);
      assertThrows(() => scram.verify(outcome), Error, "has not shown that it knows the password");
    }
  }
});

Deno.test("keys are derived once for a salt and a count, and anew for others", async () => {
  const password = new ScramPassword("pencil");
  const first = await password.keys(SALT, 2);
  assertEquals(await password.keys(SALT, 2) === first, true);
  const others = [await password.keys(SALT, 3), await password.keys(btoa("another salt"), 3)];
  for (const other of others) assertNotEquals(other, first);
  assertNotEquals(others[0], others[1]);
  assertEquals(await password.keys(SALT, 2), first);
});

Deno.test("a login without a password, or by a mechanism that is not SCRAM-SHA-256, is refused", () => {
  const start = (password: string, mechanisms: string[]) => () =>
    new ScramLogin(new ScramPassword(password), {
      channelBinding: "prefer",
      certificateHash: undefined,
    }).start(mechanisms);
  assertThrows(start("", ["SCRAM-SHA-256"]), Error, "the URL has none");
  assertThrows(start("x", ["OAUTHBEARER"]), Error, "it offers OAUTHBEARER");
  // There is no certificate to bind.
  assertThrows(start("x", ["SCRAM-SHA-256-PLUS"]), Error, "it offers SCRAM-SHA-256-PLUS");
});
