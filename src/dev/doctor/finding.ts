/** What `deno task doctor` says about one point. */
export interface Finding {
  readonly name: string;
  /** `advice`: it works, and could be better. `failed`: the service, or a replica, would not work. */
  readonly status: "ok" | "advice" | "failed";
  /** What was found. Never holds a secret. */
  readonly found: string;
  /** One sentence: what to do, or why nothing has to be done. */
  readonly advice: string;
}

/** The findings, one paragraph each, and a last line that counts them. */
export function reportOf(findings: readonly Finding[]): string {
  const count = (status: Finding["status"]) =>
    findings.filter((finding) => finding.status === status).length;
  return [
    ...findings.map(({ name, status, found, advice }) =>
      `${status.padEnd(6)}  ${name}: ${found}\n        ${advice}`
    ),
    `${count("ok")} ok, ${count("advice")} with advice, ${count("failed")} failed`,
  ].join("\n");
}
