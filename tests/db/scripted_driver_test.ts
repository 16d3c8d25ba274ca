import { ScriptedDriver, serverError } from "../support/scripted_driver.ts";
import { driverCases } from "./driver_cases.ts";

driverCases("scripted driver", () => {
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
  return Promise.resolve({
    driver,
    cut(connection) {
      driver.connections.find((each) => each === connection)!
        .cut({ fatal: serverError("57P01", "terminating connection", "FATAL") });
      return Promise.resolve();
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
});
