/** The events of a random history. A number picks the caller, connection or scope that the event happens to. */
import fc from "fast-check";
import { flushPromises } from "../../support/manual_clock.ts";
import type { Mood } from "../../support/model_database.ts";
import type { PoolPeer } from "../../support/pool_peer.ts";
import type { Holding, PoolWorld } from "../../support/pool_world.ts";
import { checkAll } from "./pool_model.ts";

/** The world records every event itself: the rules read the expected state from it. */
interface Model {
  readonly world: PoolWorld;
}

type Command = fc.AsyncCommand<Model, PoolWorld>;

/** An event that happens to one of several candidates. It is skipped if there is none. */
class Happening<T> implements Command {
  readonly #name: string;
  readonly #among: (world: PoolWorld) => readonly T[];
  readonly #which: number;
  readonly #act: (one: T, world: PoolWorld) => void | Promise<void>;
  /** Whether it happens before the promises of the event before it have settled. */
  readonly #isSudden: boolean;

  constructor(
    name: string,
    { among, which, isSudden, act }: {
      among: (world: PoolWorld) => readonly T[];
      which: number;
      isSudden: boolean;
      act: (one: T, world: PoolWorld) => void | Promise<void>;
    },
  ) {
    this.#name = name;
    this.#among = among;
    this.#which = which;
    this.#isSudden = isSudden;
    this.#act = act;
  }

  check({ world }: Model): boolean {
    return this.#among(world).length > 0;
  }

  async run(_: Model, world: PoolWorld): Promise<void> {
    if (!this.#isSudden) {
      await flushPromises();
      checkAll(world);
    }
    const those = this.#among(world);
    const one = those[this.#which % those.length];
    if (one !== undefined) await this.#act(one, world);
  }

  toString(): string {
    return `${this.#isSudden ? "at once " : ""}${this.#name} #${this.#which}`;
  }
}

function happening<T>(
  name: string,
  among: (world: PoolWorld) => readonly T[],
  act: (one: T, world: PoolWorld) => void | Promise<void>,
): fc.Arbitrary<Command> {
  return fc.tuple(fc.nat(7), fc.nat(4)).map(([which, suddenness]) =>
    new Happening(name, { among, which, act, isSudden: suddenness === 4 })
  );
}

const itself = (world: PoolWorld) => [world];

function peers(is: (peer: PoolPeer) => boolean): (world: PoolWorld) => PoolPeer[] {
  return ({ database }) => database.peers.filter(is);
}

const isConnecting = ({ phase, shut }: PoolPeer) => phase === "connecting" && !shut;
const isOpen = ({ phase, shut }: PoolPeer) => phase === "given" && !shut;

function flight(text: string): fc.Arbitrary<Command> {
  const isReady = ({ lease: { connection: { state } } }: Holding) =>
    state === "idle" || state === "opening";
  return happening(`send "${text}"`, ({ out }) => out.filter(isReady), ({ ask, lease }) => {
    ask.scope.enter(() => lease.connection.flight([{ text, values: [] }])).catch(() => {});
  });
}

function mood(mood: Mood): fc.Arbitrary<Command> {
  return happening(`database ${mood}`, itself, ({ database }) => {
    database.mood = mood;
  });
}

function jump(timeMs: number): fc.Arbitrary<Command> {
  return happening(`${timeMs} ms pass`, itself, async ({ clock }) => {
    // In reality promises settle before a timer fires.
    await flushPromises();
    await clock.advance(timeMs);
  });
}

function acquire(
  name: string,
  { fresh = false, aborted = false }: { fresh?: boolean; aborted?: boolean } = {},
): fc.Arbitrary<Command> {
  return happening(
    name,
    ({ scopes }) => scopes,
    (scope, world) => world.acquire(scope, { fresh, aborted }),
  );
}

const out = (world: PoolWorld) => world.out;
const returned = ({ holdings }: PoolWorld) => holdings.filter(({ returned }) => returned);

const happenings: readonly [weight: number, arbitrary: fc.Arbitrary<Command>][] = [
  [40, acquire("acquire")],
  [3, acquire("acquire fresh", { fresh: true })],
  [1, acquire("acquire, aborted before", { aborted: true })],
  [6, happening("caller gives up", ({ waiting }) => waiting, ({ caller }) => caller.abort())],
  [2, happening("served caller gives up", out, ({ ask }) => ask.caller.abort())],
  [25, happening("release", out, (holding, world) => world.giveBack(holding, "release"))],
  [4, happening("destroy", out, (holding, world) => world.giveBack(holding, "destroy"))],
  [2, happening("release again", returned, (one, world) => world.giveBack(one, "release"))],
  [2, happening("destroy again", returned, (one, world) => world.giveBack(one, "destroy"))],
  [
    2,
    happening("holder stops on revoke", out, (holding, world) => {
      holding.lease.onRevoke = () => world.giveBack(holding, "destroy");
    }),
  ],
  [
    1,
    happening("holder ignores the revoke", out, ({ lease }) => {
      lease.onRevoke = () => {};
    }),
  ],
  [3, flight("begin")],
  [2, flight("fail")],
  [
    1,
    happening("peer cannot roll back", peers(isOpen), (peer) => {
      peer.cannotRollBack = true;
    }),
  ],
  [2, flight("hang")],
  [2, flight("select 1")],
  [2, mood("up")],
  [4, mood("slow")],
  [3, mood("down")],
  [8, happening("connect succeeds", peers(isConnecting), ({ gate }) => gate.resolve())],
  [4, happening("connect fails", peers(isConnecting), ({ gate }) => gate.reject(new Error("no")))],
  [
    3,
    happening(
      "log in",
      peers((peer) => isOpen(peer) && peer.connection.state === "opening"),
      ({ connection }) => connection.logIn(),
    ),
  ],
  [6, happening("connection dies", peers(isOpen), ({ connection }) => connection.cut())],
  [
    2,
    happening(
      "server crashes",
      peers((peer) => isOpen(peer) && peer.loggedIn && peer.connection.state !== "closed"),
      (peer, { database }) => {
        for (const other of database.peers) other.outlived = true;
        peer.crash();
      },
    ),
  ],
  [2, happening("connection dies unnoticed", peers(isOpen), (peer) => peer.dieUnnoticed())],
  [
    3,
    happening("peer stops answering", peers(isOpen), (peer) => {
      peer.mute = true;
    }),
  ],
  [
    3,
    happening("peer answers again", peers(({ mute }) => mute), (peer) => {
      peer.mute = false;
    }),
  ],
  [3, happening("peer answers", peers(isOpen), (peer) => peer.answerAll())],
  [3, happening("end scope", ({ scopes }) => scopes, (scope, world) => world.endScope(scope))],
  [3, jump(30)],
  [3, jump(250)],
  [3, jump(700)],
  [3, jump(1_600)],
  [1, jump(4_000)],
  [
    1,
    happening(
      "close within a time",
      ({ closing }) => closing === undefined ? [0, 1_000] : [],
      (timeoutMs, world) => world.close(timeoutMs),
    ),
  ],
];

const requests = ({ scopes }: PoolWorld) => scopes.filter(({ lasting }) => !lasting);
const busyOwners = (world: PoolWorld) =>
  [...world.scopes, ...world.ended].filter(({ isBusy, isDead }) => isBusy && !isDead);

const ends: typeof happenings = [
  [
    8,
    happening(
      "request ends silently",
      requests,
      async (scope, world) => {
        // workerd drops the pending continuations of a request that has ended; here they would still run.
        await flushPromises();
        world.kill(scope);
      },
    ),
  ],
  [3, happening("an owner becomes busy", requests, (scope) => scope.beBusy())],
  [
    3,
    happening("a busy owner runs again", busyOwners, async (scope, { clock }) => {
      scope.answer();
      await flushPromises();
      // Its timers that are overdue, or that it was asked to set for a time that has passed.
      await clock.advance(0);
    }),
  ],
];

function commandsOf(kinds: typeof happenings) {
  return fc.commands<Model, PoolWorld, false>(
    [fc.oneof(...kinds.map(([weight, arbitrary]) => ({ weight, arbitrary })))],
    { maxCommands: 60, size: "max" },
  );
}

/** For owners that live as long as the pool, or call `endScope` when they end. */
export const commands = commandsOf(happenings);

/** For requests that may end without calling `endScope`. */
export const commandsWithEnds = commandsOf([...happenings, ...ends]);
