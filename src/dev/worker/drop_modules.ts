/**
 * Removes modules of the driver's package that no Worker reaches: 5.7 kB of a gzipped one. The package is one file, in
 * which each of node-postgres' modules is a function that runs at its first `require`; bundlers cannot tell which of them
 * never run.
 */
import { type Call, type Edit, isIdentifier, type SyntaxNode } from "./syntax.ts";

interface UnreachedModule {
  /** Its name in node-postgres. */
  readonly name: string;
  /** A part of its text that no other module has. */
  readonly mark: RegExp;
  /** What it exports instead. */
  readonly exports: string;
}

const UNREACHED: readonly UnreachedModule[] = [
  // It needs an addon in C.
  { name: "pg/lib/native/client", mark: /\bthis\.native = new /, exports: "undefined" },
  // It reads a file with passwords. Where there are no files, it says that there is none.
  { name: "pgpass", mark: /\.usePgPass\(/, exports: "(_, done) => done()" },
  // The layer has a pool of its own. The package's Pool extends this one when it is loaded.
  {
    name: "pg-pool",
    mark: /\bRelease called on client which has already been released to the pool\b/,
    exports: 'class { constructor() { throw new Error("Cannot use the Pool of ' +
      '@neondatabase/serverless as src/dev/worker/drop_modules.ts has dropped it") } }',
  },
];

interface LazyModule {
  readonly call: Call;
  readonly body: SyntaxNode;
  /** Its parameters: `exports`, `module`. */
  readonly params: readonly SyntaxNode[];
}

/** None if the bundle has no driver. Throws if it has one of another version, in which a module is not found once. */
export function dropModules(code: string, tree: SyntaxNode): Edit[] {
  const modules = lazyModules(tree);
  const found = UNREACHED.map(({ mark }) =>
    modules.filter(({ body }) => mark.test(code.slice(body.start, body.end)))
  );
  if (found.every(({ length }) => length === 0)) return [];
  const bodies = UNREACHED.map(({ name, exports }, index): Edit => {
    const [module, ...others] = found[index]!;
    const parameter = module?.params[1];
    if (others.length > 0 || !isIdentifier(parameter)) {
      throw new Error(
        `Cannot drop ${name} from the driver's package as it is there ${
          found[index]!.length
        } times; ` +
          "correct its mark in src/dev/worker/drop_modules.ts",
      );
    }
    const { start, end } = module!.body;
    return { start, end, text: `{ ${parameter.name}.exports = ${exports}; }` };
  });
  // Lets the minifier drop the modules that only these have required.
  const pure = modules.map(({ call: { start } }) => ({
    start,
    end: start,
    text: "/* @__PURE__ */ ",
  }));
  return [...pure, ...bodies];
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
