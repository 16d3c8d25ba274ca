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
    const [issue] = issues;
    throw new AccessRefusedError(
      "invalid",
      `Cannot serve the call as ${
        v.getDotPath(issue) ?? "the whole"
      } of its binding's props is not valid: ${issue.message}`,
    );
  }
  const { name, tenant, scopes } = output;
  return { name, client: `${tenant} binding ${name}`, tenant, scopes: new Set(scopes) };
}
