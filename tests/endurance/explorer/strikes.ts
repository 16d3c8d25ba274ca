/** The events that strike a run. */
import { pick, type Random } from "../random.ts";
import type { ModelLink } from "./model_link.ts";
import { type ModelServer, terminated } from "./model_server.ts";
import type { Place } from "./timeline.ts";
import type { Unit } from "./unit.ts";

/** What can be struck. */
export interface Targets {
  readonly server: ModelServer;
  readonly links: readonly ModelLink[];
  readonly units: readonly Unit[];
  readonly random: Random;
  readonly closePool: (options: { timeoutMs: number }) => void;
}

type StrikeAt = (targets: Targets, place: Place) => void;

/** Shorter and longer than the timeouts of the layer and of the server. */
const DELAYS_MS = [30, 700, 3_000, 12_000, 25_000];

const EVENT_ACTIONS = {
  /** The caller's signal. */
  abort: ({ units }, { unit, link }) => {
    const target = unit ?? link?.sender?.unit ?? units.find(({ told }) => told === undefined);
    target?.abort();
  },
  close: ({ closePool }) => closePool({ timeoutMs: 0 }),
  drain: ({ closePool }) => closePool({ timeoutMs: 3_000 }),
  /** The socket breaks; what was on its way to the server is lost. */
  cut: (targets, place) => linkOf(targets, place)?.cut(),
  /** The socket breaks; what was on its way to the server arrives later. */
  ghost: (targets, place) => linkOf(targets, place)?.cut({ delayMs: delayMs(targets) }),
  /** `pg_terminate_backend` */
  kill: (targets, place) => linkOf(targets, place)?.kill(terminated()),
  crash: ({ server }) => server.crash(),
  /** A blue/green switch, or a pooler that is pointed to another server. */
  move: ({ server, random }) => server.moveToReplica({ isAhead: random() < 0.5 }),
  /** The connection passes nothing any more. */
  freeze: (targets, place) => linkOf(targets, place)?.freeze(),
  /** The whole server does nothing for a while. */
  stall: (targets) => targets.server.stall(delayMs(targets)),
  /** `pg_cancel_backend` */
  cancel: (targets, place) => linkOf(targets, place)?.backend?.cancel(),
} satisfies Record<string, StrikeAt>;

export type StrikeEvent = keyof typeof EVENT_ACTIONS;

export const EVENTS = Object.keys(EVENT_ACTIONS) as StrikeEvent[];

export function strike(event: StrikeEvent, targets: Targets, place: Place): void {
  (EVENT_ACTIONS[event] as StrikeAt)(targets, place);
}

/** The connection that the point concerns, or the newest one. */
function linkOf({ links }: Targets, { link }: Place): ModelLink | undefined {
  return link ?? links.findLast(({ connection }) => connection.state !== "closed");
}

function delayMs({ random }: Targets): number {
  return pick(DELAYS_MS, random)!;
}
