/**
 * Removes modules of the driver's package that the service never reaches, and takes from Workers what they have built in:
 * 29 kB of a gzipped Worker. The package is one file, in which each of node-postgres' modules is a function that runs at
 * its first `require`; bundlers cannot tell which of them never run. `src/db/neon` alone uses the package, for its socket
 * and its login.
 */
import {
  type Call,
  type Edit,
  type Identifier,
  isIdentifier,
  type SyntaxNode,
  visit,
} from "./syntax.ts";

interface ReplacedModule {
  /** Its name in node-postgres, or on the package registry. */
  readonly name: string;
  /** A part of its text that no other module has. */
  readonly mark: RegExp;
  /** What runs in its place, with `exports` and `module`. Of an ES module: it returns what the module has last made. */
  readonly code: string;
}

const REFUSE = 'throw new Error("Cannot use this part of @neondatabase/serverless as ' +
  'src/dev/worker/drop_modules.ts has dropped it");';

const UNREACHED: readonly ReplacedModule[] = [
  // It needs an addon in C.
  { name: "pg/lib/native/client", mark: /\bthis\.native = new /, code: REFUSE },
  // It reads a file with passwords. Where there are no files, it says that there is none.
  { name: "pgpass", mark: /\.usePgPass\(/, code: "module.exports = (_, done) => done();" },
  // The layer has a pool of its own. The package's Pool extends this one when it is loaded.
  {
    name: "pg-pool",
    mark: /\bRelease called on client which has already been released to the pool\b/,
    code: `module.exports = class { constructor() { ${REFUSE} } };`,
  },
  // After the login, the layer's own codec sends statements and reads answers.
  {
    name: "pg/lib/query",
    mark: /\brequiresPreparation\(\) \{/,
    code: `module.exports = class { constructor() { ${REFUSE} } };`,
  },
  // `src/db/neon/scram.ts` computes the answers of SCRAM. The package's client loads this module, and calls nothing of it.
  { name: "pg/lib/sasl", mark: /\bLast message was not SASLInitialResponse\b/, code: "" },
  // The client gets its parameters one by one. A function of the package that no one calls has this module loaded.
  {
    name: "pg-connection-string",
    mark: /\/\^%2f\/i/,
    code: `exports.parse = () => { ${REFUSE} };`,
  },
  // The layer has parsers of its own. The package asks for two when it is loaded, and does not run them.
  {
    name: "pg-types",
    mark: /\.arrayParser = /,
    code: `exports.setTypeParser = () => { ${REFUSE} }; ` +
      "exports.getTypeParser = () => exports.setTypeParser;",
  },
];

/** Modules of Node's that Workers have: https://developers.cloudflare.com/workers/runtime-apis/nodejs/ */
const BUILT_IN = 'import { Buffer as BuiltInBuffer } from "node:buffer"; ' +
  'import BuiltInEventEmitter from "node:events"; ';

const REPLACED: readonly ReplacedModule[] = [
  ...UNREACHED,
  {
    name: "buffer",
    mark: /nodejs\.util\.inspect\.custom/,
    code: "exports.Buffer = BuiltInBuffer;",
  },
  {
    name: "events",
    mark: /\bMaxListenersExceededWarning\b/,
    code: "module.exports = BuiltInEventEmitter;",
  },
  // For servers that ask for a password with MD5. An import of node:crypto would make a Worker's start 10 ms longer.
  {
    name: "ts-md5",
    mark: /\bonePassHasher\b/,
    code: 'const hash = (data) => process.getBuiltinModule("node:crypto")' +
      '.createHash("md5").update(data).digest("hex"); ' +
      "return { hashStr: hash, hashByteArray: hash };",
  },
];

interface UnreachedPart {
  readonly name: string;
  readonly mark: RegExp;
  readonly type: "ClassExpression" | "FunctionDeclaration" | "MethodDefinition";
}

/** What the bundler keeps as code that is not dropped could reach it. With the pool go the requests of the package by HTTP. */
const UNREACHED_PARTS: readonly UnreachedPart[] = [
  { name: "the pool", mark: /\bhasFetchUnsupportedListeners\b/, type: "ClassExpression" },
  // The driver switches it off.
  {
    name: "the warning for browsers",
    mark: /\bRunning SQL directly from the browser\b/,
    type: "FunctionDeclaration",
  },
  // Both for SCRAM.
  { name: "the answer of SCRAM", mark: /\bSASL: protocol error\b/, type: "MethodDefinition" },
  { name: "SHA-256", mark: /\b1779033703\b/, type: "FunctionDeclaration" },
];

interface LazyModule {
  readonly call: Call;
  readonly body: SyntaxNode;
  /** Its parameters: `exports`, `module`. */
  readonly params: readonly SyntaxNode[];
}

/** None if the bundle has no driver. Throws if it has one of another version, in which a module is not found once. */
export function dropModules(text: string, tree: SyntaxNode): Edit[] {
  const modules = lazyModules(tree);
  const found = REPLACED.map(({ mark }) =>
    modules.filter(({ body }) => mark.test(text.slice(body.start, body.end)))
  );
  if (found.every(({ length }) => length === 0)) return [];
  const bodies = REPLACED.map(({ name, code }, index): Edit => {
    const { params, body } = theOnly(found[index]!, name);
    const { start, end } = body;
    const names = params.map((each) => (each as Identifier).name).join(", ");
    const result = params.length > 0 ? "" : `${lastAssigned(body)} = `;
    return { start, end, text: `{ ${result}((exports, module) => { ${code} })(${names}); }` };
  });
  // Lets the minifier drop the modules that only these have required.
  const pure = modules.map(({ call: { start } }) => ({
    start,
    end: start,
    text: "/* @__PURE__ */ ",
  }));
  return [{ start: 0, end: 0, text: BUILT_IN }, ...pure, ...bodies, ...partEdits(text, tree)];
}

function partEdits(text: string, tree: SyntaxNode): Edit[] {
  const found = UNREACHED_PARTS.map((): SyntaxNode[] => []);
  visit(tree, (node) => {
    UNREACHED_PARTS.forEach(({ type, mark }, index) => {
      if (node.type === type && mark.test(text.slice(node.start, node.end))) {
        found[index]!.push(node);
      }
    });
  });
  return UNREACHED_PARTS.map(({ name, type }, index) => {
    const node = theOnly(found[index]!, name);
    if (type === "ClassExpression") {
      return { start: node.start, end: node.end, text: `class { constructor() { ${REFUSE} } }` };
    }
    const { body } = (type === "MethodDefinition"
      ? (node as SyntaxNode & { readonly value: SyntaxNode }).value
      : node) as FunctionNode;
    return { start: body.start, end: body.end, text: `{ ${REFUSE} }` };
  });
}

function theOnly<T>(found: readonly T[], name: string): T {
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  throw new Error(
    `Cannot drop ${name} from the driver's package as it is there ${found.length} times; ` +
      "correct its mark in src/dev/worker/drop_modules.ts",
  );
}

/** The variable of the bundle that an ES module sets last. */
function lastAssigned(body: SyntaxNode): string {
  const { body: statements } = body as SyntaxNode & { readonly body: readonly Assignment[] };
  return statements.at(-1)!.expression.left.name;
}

interface Assignment {
  readonly expression: { readonly left: Identifier };
}

/** `var name = wrapper((exports, module) => { … })` of esbuild, which runs the function when `name` is called. */
function lazyModules(tree: SyntaxNode): LazyModule[] {
  const { body } = tree as SyntaxNode & { readonly body: readonly Declaration[] };
  const declared = body.flatMap(({ declarations = [] }) => declarations);
  const wrappers = new Set(declared.filter(({ init }) => isWrapper(init)).map(({ id }) => id.name));
  return declared.flatMap(({ init }) => {
    if (init?.type !== "CallExpression") return [];
    const call = init as Call;
    const [run, ...others] = call.arguments as [FunctionNode, ...SyntaxNode[]];
    const isLazy = isIdentifier(call.callee) && wrappers.has(call.callee.name) &&
      others.length === 0 && run?.type === "ArrowFunctionExpression" &&
      run.body.type === "BlockStatement";
    return isLazy ? [{ call, body: run.body, params: run.params }] : [];
  });
}

interface Declaration extends SyntaxNode {
  readonly declarations?: readonly {
    readonly id: { readonly name: string };
    readonly init: SyntaxNode | null;
  }[];
}

interface FunctionNode extends SyntaxNode {
  readonly body: SyntaxNode;
  readonly params: readonly SyntaxNode[];
}

/** `(run, cache) => () => …`: it calls nothing before its result is called. */
function isWrapper(init: SyntaxNode | null): boolean {
  if (init?.type !== "ArrowFunctionExpression") return false;
  const { body, params } = init as FunctionNode;
  return params.length > 1 && body.type === "ArrowFunctionExpression" &&
    (body as FunctionNode).params.length === 0;
}
