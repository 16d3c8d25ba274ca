import type { Connection } from "../../../src/db/driver/driver.ts";
import { ScriptedDriver, serverError } from "../../support/scripted_driver.ts";
import type { DriverHost } from "./driver_case.ts";
import { driverCases } from "./driver_cases.ts";

for (const { name, run } of driverCases) {
  Deno.test(`scripted driver: ${name}`, () => run(scriptedHost()));
}

function scriptedHost(): DriverHost {
  const driver = new ScriptedDriver({
    reply({ text, values }, connection) {
      if (text === "select 1 as one") return { rows: [{ one: 1 }] };
      if (text === "select $1::text as text") return { rows: [{ text: values[0] }] };
      if (text === "select 1/0") return serverError("22012", "division by zero");
      if (!text.startsWith("select pg_sleep")) return undefined;
      const { promise, resolve } = Promise.withResolvers<Error>();
      connection.onCancel = () => resolve(serverError("57014", "canceling statement"));
      return promise;
    },
  });
  const scripted = (connection: Connection) =>
    driver.connections.find((each) => each === connection)!;
  return {
    driver,
    cut(connection) {
      scripted(connection).cut({ fatal: serverError("57P01", "terminating connection", "FATAL") });
      return Promise.resolve();
    },
    hangUp(connection) {
      scripted(connection).cut({ fatal: gone });
      return Promise.resolve();
    },
    closeSocket: () => driver.connections.at(-1)!.cut({ fatal: gone }),
  };
}

// Without an error, a scripted connection ends as after our own close.
const gone = serverError("08006", "the socket is gone", "FATAL");
