/**
 * Checks the URL of a database. Errors name the part that is wrong and never show the value: if the password was not
 * percent-encoded, any part of the URL may contain a piece of it.
 */

/**
 * Parameters of libpq with their values, or what a value must be. On a WebSocket, `sslmode` and `channel_binding` have no
 * effect: its scheme decides whether the connection is encrypted.
 */
const PARAMETERS: Readonly<Record<string, readonly string[] | ValueRule>> = {
  sslmode: ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
  channel_binding: ["disable", "prefer", "require"],
  sslrootcert: {
    isValid: (value) => value !== "" && !value.includes("\0"),
    wayOut: "name a PEM file, or system",
  },
  // Another host than the URL's own would be hidden from a reader who checks where a URL leads.
  host: {
    isValid: (value) => value.startsWith("/") && !value.includes("\0"),
    wayOut: "name the directory of a Unix socket, such as /var/run/postgresql",
  },
};

interface ValueRule {
  readonly isValid: (value: string) => boolean;
  readonly wayOut: string;
}

/** Throws `TypeError` unless the URL is `postgresql://` with a host, a user and a database. */
export function assertDatabaseUrl(url: unknown): asserts url is string {
  const problem = typeof url === "string"
    ? findUrlProblem(url)
    : { reason: `its type is ${typeof url}`, wayOut: FORM };
  if (problem !== undefined) throw unusable(problem);
}

/** The error for a URL with this problem. It does not show the URL. */
export function unusable(problem: UrlProblem): TypeError {
  return new TypeError(
    `Cannot open the database as its URL cannot be used, ${problem.reason}: current value is hidden; ${problem.wayOut}`,
  );
}

export interface UrlProblem {
  readonly reason: string;
  readonly wayOut: string;
}

const FORM = "write it as postgresql://user:password@host/database";
const ENCODE =
  "write the user, the password and the database as encodeURIComponent() returns them: " +
  "the reserved characters : / ? # [ ] @ $ & + , ; = and % and the space become %40 and the like";

/** What is wrong with the URL, if anything. */
export function findUrlProblem(value: string): UrlProblem | undefined {
  if (!/^postgres(?:ql)?:\/\//.test(value)) {
    return { reason: "it does not begin with postgresql:// or postgres://", wayOut: FORM };
  }
  // URL.parse would strip or encode these without an error.
  // deno-lint-ignore no-control-regex -- it looks for them
  if (/[\s\x00-\x1f\x7f]/.test(value)) {
    return { reason: "it contains white space or control characters", wayOut: ENCODE };
  }
  if (value.split("@").length > 2) return { reason: "it contains more than one @", wayOut: ENCODE };
  const url = URL.parse(value);
  if (/@\/[^?]*\?(?:.*&)?host=/.test(value)) {
    return {
      reason: "it has no host before its parameter host",
      wayOut: "write a Unix socket as postgresql://user@localhost/database?host=/directory",
    };
  }
  if (url === null) return { reason: "it is not a URL", wayOut: `${FORM}, and ${ENCODE}` };
  return partProblem(url) ?? encodingProblem(url) ?? parameterProblem(url);
}

function partProblem(url: URL): UrlProblem | undefined {
  // A password such as 12/3@x ends the host early: then the user is taken for the host.
  if (url.username === "") return { reason: "it has no user", wayOut: `${FORM}, and ${ENCODE}` };
  if (url.hostname === "") return { reason: "it has no host", wayOut: FORM };
  if (url.hostname.includes(",")) {
    return { reason: "it names several hosts, which is not supported", wayOut: "name one" };
  }
  if (url.port === "0") return { reason: "its port is 0", wayOut: "leave the port out for 5432" };
  if (!/^\/[^/]+$/.test(url.pathname)) return { reason: "it has no single database", wayOut: FORM };
  if (url.hash !== "") return { reason: "it contains a #", wayOut: ENCODE };
  return undefined;
}

function encodingProblem(url: URL): UrlProblem | undefined {
  const parts = {
    user: url.username,
    password: url.password,
    database: url.pathname.slice(1),
    host: url.hostname,
  };
  for (const [name, part] of Object.entries(parts)) {
    try {
      if (decodeURIComponent(part).includes("\0")) {
        return { reason: `its ${name} contains a NUL character`, wayOut: "remove %00" };
      }
    } catch {
      return {
        reason: `its ${name} is not percent-encoded UTF-8`,
        wayOut: `write % itself as %25, or ${ENCODE}`,
      };
    }
  }
  return undefined;
}

function parameterProblem(url: URL): UrlProblem | undefined {
  for (const [name, value] of url.searchParams) {
    const known = Object.hasOwn(PARAMETERS, name) ? PARAMETERS[name] : undefined;
    if (known === undefined) {
      return {
        reason: "it has a parameter after the ? that is not supported",
        wayOut: `keep only ${Object.keys(PARAMETERS).join(", ")}; ` +
          "set timeouts and isolation level by their own settings",
      };
    }
    if (url.searchParams.getAll(name).length > 1) {
      return { reason: `it has the parameter ${name} twice`, wayOut: "keep one" };
    }
    if ("isValid" in known) {
      if (known.isValid(value)) continue;
      return { reason: `its ${name} cannot be used`, wayOut: known.wayOut };
    }
    if (!known.includes(value)) {
      return { reason: `its ${name} is unknown`, wayOut: `choose one of ${known.join(", ")}` };
    }
  }
  return undefined;
}
