/**
 * `deno task bench [http|limits|capacity|workers|objects|pool|session|reads|endings|queue|ops] [--json FILE]`. README.md lists the options of `http`. Other packages are imported by names that Deno does not see
 * before it runs, under a lock of their own, `contenders.lock`. The first `deno task dev` downloads everything that the
 * project's own lock lists.
 */
import { parseArgs } from "node:util";

const { positionals, values: { json, full, websocket, against, "own-pool": ownPool, svg } } =
  parseArgs({
    allowPositionals: true,
    options: {
      json: { type: "string" },
      full: { type: "boolean", default: false },
      websocket: { type: "boolean", default: false },
      against: { type: "string" },
      "own-pool": { type: "boolean", default: false },
      svg: { type: "string" },
    },
  });

/** For a reader who doubts the figures: other load of the machine is the first reason to. */
function measuredAt(): string {
  const loads = Deno.loadavg().map((load) => load.toFixed(1)).join(", ");
  return `${new Date().toISOString().slice(0, 10)}, Deno ${Deno.version.deno}, ` +
    `${navigator.hardwareConcurrency} cores, load averages at the end ${loads}`;
}

async function bench(which: string | undefined): Promise<unknown> {
  switch (which) {
    case "":
    case "http": {
      if (ownPool && against === undefined) {
        throw new Error(
          "Cannot measure the service's own pool as --own-pool compares two revisions; give --against REV",
        );
      }
      const { benchHttp } = await import("./http/http.ts");
      const { httpTable } = await import("./http/http_table.ts");
      const { verdicts } = await import("./http/http_goals.ts");
      const { writeCharts } = await import("./http/http_charts.ts");
      const figures = await benchHttp({ full, websocket, against, ownPool });
      console.log([measuredAt(), "", httpTable(figures), ...verdicts(figures)].join("\n"));
      if (svg !== undefined) await writeCharts(figures, svg);
      return figures;
    }
    case "limits": {
      const { benchLimits } = await import("./http/http.ts");
      const { limitTable } = await import("./http/http_table.ts");
      const figures = await benchLimits();
      console.log([measuredAt(), "", limitTable(figures)].join("\n"));
      return figures;
    }
    case "workers": {
      const { benchWorkers } = await import("./workers.ts");
      const { workersTable } = await import("./workers_table.ts");
      const figures = await benchWorkers();
      console.log([measuredAt(), "", workersTable(figures)].join("\n"));
      return figures;
    }
    case "objects": {
      const { benchHops, benchObjects } = await import("./objects.ts");
      const { hopsTable, objectsTable } = await import("./objects_table.ts");
      const figures = { hops: await benchHops(), objects: await benchObjects() };
      const tables = [hopsTable(figures.hops), "", objectsTable(figures.objects)];
      console.log([measuredAt(), "", ...tables].join("\n"));
      return figures;
    }
    case "capacity": {
      const { benchCapacity } = await import("./http/http.ts");
      const { capacityTable } = await import("./http/capacity.ts");
      const figures = await benchCapacity();
      console.log([measuredAt(), "", capacityTable(figures)].join("\n"));
      return figures;
    }
    case "pool": {
      const { benchPool } = await import("./pool.ts");
      const { poolTable } = await import("./pool_table.ts");
      const figures = await benchPool();
      console.log(poolTable(figures));
      return figures;
    }
    case "session": {
      const { benchSession } = await import("./session.ts");
      const { sessionTable } = await import("./session_table.ts");
      const figures = await benchSession();
      console.log(sessionTable(figures));
      return figures;
    }
    case "reads": {
      const { benchReads } = await import("./reads/reads.ts");
      const { readsTable } = await import("./reads/reads_table.ts");
      const figures = await benchReads();
      console.log([measuredAt(), "", readsTable(figures)].join("\n"));
      return figures;
    }
    case "endings": {
      const { endings, endingsTable } = await import("./reads/endings.ts");
      const seen = await endings();
      console.log(endingsTable(seen));
      return seen;
    }
    case "queue": {
      const { benchQueue } = await import("./queue.ts");
      const { queueTable } = await import("./queue_table.ts");
      const figures = await benchQueue();
      console.log(queueTable(figures));
      return figures;
    }
    case "ops": {
      const { benchOps } = await import("./ops.ts");
      const { opsTable } = await import("./ops_table.ts");
      const figures = await benchOps();
      console.log(opsTable(figures));
      return figures;
    }
    default:
      console.error(
        "Usage: deno task bench [http [--full] [--websocket] [--against REV [--own-pool]] [--svg DIRECTORY]] | limits | capacity | workers | objects | pool | session | reads | endings | queue | ops [--json FILE]",
      );
      Deno.exit(2);
  }
}

const figures = await bench(positionals.join());
if (json !== undefined) {
  const machine = {
    ...Deno.version,
    target: Deno.build.target,
    cores: navigator.hardwareConcurrency,
  };
  await Deno.writeTextFile(json, `${JSON.stringify({ machine, figures }, null, 2)}\n`);
}
