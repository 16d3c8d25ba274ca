/** Who calls through a service binding. */
import * as v from "valibot";
import { AccessRefusedError, type Identity } from "../access/identity.ts";
import { BindingProps } from "../settings/access.ts";

/**
 * The client that the binding's `props` name. They are part of the other Worker's configuration, so that its code cannot
 * choose its tenant or its scopes, and a request from outside has none.
 * https://developers.cloudflare.com/workers/runtime-apis/context/#props
 *
 * @throws {AccessRefusedError}
 */
export function callerOf(props: unknown): Identity {
  const { output, issues, success } = v.safeParse(BindingProps, props);
  if (!success) {
    const path = v.getDotPath(issues[0]) ?? "all";
    throw new AccessRefusedError(
      "invalid",
      `Cannot serve the call as the props of its binding are not valid, at ${path}: ${
        issues[0].message
      }; write name, tenant and scopes`,
    );
  }
  const { name, tenant, scopes } = output;
  return { name, client: `${tenant} binding ${name}`, tenant, scopes: new Set(scopes) };
}
