/** The cases that every host of the service runs. They use HTTP alone. */
import { accessCases } from "./access_cases.ts";
import { bodyCases } from "./body_cases.ts";
import { docsCases } from "./docs_cases.ts";
import { idempotencyCases } from "./idempotency_cases.ts";
import type { UsersCase } from "./requests.ts";
import { tenantCases } from "./tenant_cases.ts";
import { usersCases } from "./users_cases.ts";

export const serviceCases: readonly UsersCase[] = [
  ...usersCases,
  ...accessCases,
  ...idempotencyCases,
  ...tenantCases,
  ...bodyCases,
  ...docsCases,
];
