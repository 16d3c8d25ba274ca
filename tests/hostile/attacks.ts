/** All attacks by name, at full length. */
import type { Measure } from "../endurance/verdict.ts";
import { generatedOnAll } from "./generated.ts";
import { host } from "./host.ts";
import { logFlood } from "./log_flood.ts";
import { shutdown } from "./shutdown.ts";
import { siege } from "./siege.ts";
import { slowReaders } from "./slow_readers.ts";
import { slowBody } from "./slow_body.ts";
import { emfile, slowloris } from "./connections.ts";

export const ATTACKS: Readonly<Record<string, (minutes: number) => Promise<Measure[]>>> = {
  "emfile": () => emfile({ openFiles: 1_024, connections: 1_100, forMs: 15_000 }),
  "slowloris": () => slowloris({ openFiles: 1_024, connections: 1_000, forMs: 15_000 }),
  "host": host,
  "log-flood": () => logFlood({ clients: 50, forMs: 25_000 }),
  "shutdown": () => shutdown({ clients: 100, pauseMs: 100, maxResets: 10 }),
  "siege": (minutes) => siege({ forMs: minutes * 60_000 }),
  "slow-readers": () => slowReaders({ readers: 300, pages: 20, forMs: 5_000 }),
  "generated": generatedOnAll,
  "slow-body": () => slowBody({ connections: 500 }),
};
