/** Sums a CPU profile. https://chromedevtools.github.io/devtools-protocol/tot/Profiler/#type-Profile */

export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: {
      readonly functionName: string;
      readonly url: string;
      readonly lineNumber: number;
    };
  }[];
  /** The node of each sample. */
  readonly samples: readonly number[];
  /** Microseconds between samples. */
  readonly timeDeltas: readonly number[];
}

export interface Share {
  readonly name: string;
  /** Of the time in which the process was not idle. */
  readonly share: number;
}

export function shares(profile: CpuProfile): { rooms: Share[]; functions: Share[] } {
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]));
  const [rooms, functions] = [new Map<string, number>(), new Map<string, number>()];
  let busy = 0;
  profile.samples.forEach((id, k) => {
    const { functionName, url, lineNumber } = frames.get(id)!;
    if (functionName === "(idle)") return;
    const us = profile.timeDeltas[k]!;
    busy += us;
    const room = roomOf(functionName, url);
    add(rooms, room, us);
    const place = url === "" ? "" : ` ${url.split("/").slice(-2).join("/")}:${lineNumber + 1}`;
    add(functions, `${functionName || "(anonymous)"}${place}`, us);
  });
  const sorted = (times: Map<string, number>) =>
    [...times].map(([name, us]) => ({ name, share: us / busy }))
      .sort((a, b) => b.share - a.share);
  return { rooms: sorted(rooms), functions: sorted(functions) };
}

function add(times: Map<string, number>, key: string, us: number): void {
  times.set(key, (times.get(key) ?? 0) + us);
}

/** A folder of ours, a package, a part of the runtime. */
function roomOf(functionName: string, url: string): string {
  if (functionName === "(garbage collector)") return "garbage collection";
  if (functionName === "(program)" || url === "") return "native code of the runtime";
  const own = /\/src\/((?:db\/)?[^/]+)/.exec(url)?.[1];
  if (own !== undefined && url.startsWith("file:") && !url.includes("/npm/")) return `src/${own}`;
  const npm = /\/npm\/[^/]+\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1];
  if (npm !== undefined) return `npm ${npm}`;
  return /^(?:ext|node):[^/]*/.exec(url)?.[0] ?? url;
}
