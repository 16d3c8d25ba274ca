import type { ServerError } from "../errors.ts";
import { classify } from "./classify.ts";

/** What the server's own condition makes a statement fail with: a healthy server would have run it. */
const CONDITIONS: readonly { readonly sqlStates: RegExp; readonly text?: RegExp }[] = [
  {
    // Slowness, locks and timeouts (25P03, 25P04, 55P03, 57014), other transactions (40, 55006, 72), lack of resources (53),
    // shutdowns (57), input and output (58), damage and internal errors (XX), configuration (F0).
    sqlStates: /^(?:25P0[34]|40|53|55006|55P03|57|58|72|F0|XX)/,
  },
  {
    // What stands between: foreign servers (08, HV), their logins (28, 3D), a pooler's prepared statements (26, 42P05), and a
    // server that has become a standby (25006).
    sqlStates: /^(?:08|25006|26|28|3D|42P05|HV)/,
  },
  { sqlStates: /^54000$/, text: /is not accepting commands/ },
];

/**
 * Whether a healthy server would fail the statement too, so that the fault is in the statement or its values. A retry is
 * another question: `classify` answers it.
 */
export function isStatementFault(error: ServerError): boolean {
  const { sqlState, message } = error;
  return classify(error, "statement").connection !== "useless" &&
    !CONDITIONS.some(({ sqlStates, text }) =>
      sqlStates.test(sqlState) && (text === undefined || text.test(message))
    );
}
