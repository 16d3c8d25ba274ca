import { assertEquals, assertThrows } from "@std/assert";
import { connectionLimits, descriptorLimit } from "../../src/deno/descriptors.ts";

const POOL_MAX = 50;
const BACKLOG = 128;
/** For the pool of 50, the backlog and the runtime's 64. */
const RESERVED = 242;

const limits = (
  descriptors: number | undefined,
  settings: { max?: number; maxPerClient?: number } = {},
) => connectionLimits(settings, { poolMax: POOL_MAX, descriptors });

Deno.test("connections get the descriptors that nothing else needs, at most 4096, and one client half of them", () => {
  assertEquals(limits(1_024), { max: 1_024 - RESERVED, maxPerClient: 391, backlog: BACKLOG });
  assertEquals(limits(1_048_576), { max: 4_096, maxPerClient: 2_048, backlog: 1_024 });
  assertEquals(limits(RESERVED + 1), { max: 1, maxPerClient: 1, backlog: BACKLOG });
  assertEquals(limits(undefined), limits(1_024), "the usual limit is assumed");
});

Deno.test("an eighth of the descriptors is for connections that wait to be accepted, within bounds", () => {
  assertEquals([1_032, 4_096, 8_200].map((files) => limits(files).backlog), [129, 512, 1_024]);
  assertEquals(limits(4_096).max, 4_096 - POOL_MAX - 512 - 64);
  const most = 4_096 - RESERVED;
  assertEquals(limits(4_096, { max: most - 100 }), {
    max: most - 100,
    maxPerClient: (most - 100) / 2,
    backlog: BACKLOG + 100,
  }, "it gives way to a bound that is set");
  assertThrows(() => limits(4_096, { max: most + 1 }), Error, `to at most ${most}`);
});

Deno.test("bounds that are set are used, if the process can keep them", () => {
  assertEquals(limits(1_024, { max: 100 }), { max: 100, maxPerClient: 50, backlog: BACKLOG });
  assertEquals(limits(1_024, { maxPerClient: 7 }), { max: 782, maxPerClient: 7, backlog: BACKLOG });
  assertEquals(limits(1_048_576, { max: 20_000 }), {
    max: 20_000,
    maxPerClient: 10_000,
    backlog: 1_024,
  });
  assertEquals(limits(undefined, { max: 20_000 }).max, 20_000, "nothing is known against it");
  assertThrows(
    () => limits(1_024, { max: 783 }),
    Error,
    "Cannot serve 783 connections as the process may open 1024 files, of which 242 are reserved",
  );
  assertThrows(() => limits(RESERVED), Error, "Cannot serve any connections");
});

Deno.test({
  name: "the limit on open files is read on Linux",
  ignore: Deno.build.os !== "linux",
  fn: () => assertEquals(Number.isInteger(descriptorLimit()), true),
});

Deno.test("where the limit cannot be read, a pool that is larger than the usual one asks for MAX_CONNECTIONS", () => {
  const unknown = { poolMax: 1_000, descriptors: undefined };
  assertThrows(
    () => connectionLimits({}, unknown),
    Error,
    "current MAX_CONNECTIONS is not set; set it",
  );
  assertEquals(connectionLimits({ max: 500 }, unknown), {
    max: 500,
    maxPerClient: 250,
    backlog: BACKLOG,
  });
});
