/**
 * What `@std/assert` takes and promises. Its npm form comes without types, so `deno.json` names this file under
 * `compilerOptions.types`. Without it every assertion is `any`, and a wrongly typed one compiles.
 */
declare module "@std/assert" {
  // deno-lint-ignore no-explicit-any -- A class is assignable to no narrower parameter list.
  type Class<T> = abstract new (...args: any[]) => T;

  /** What every failed assertion throws. */
  export class AssertionError extends Error {
    constructor(message: string, options?: ErrorOptions);
  }

  export function assert(expr: unknown, msg?: string): asserts expr;
  export function assertFalse(expr: unknown, msg?: string): asserts expr is Falsy;
  type Falsy = false | 0 | 0n | "" | null | undefined;

  /** Whether two values have the same shape and contents. */
  export function equal(a: unknown, b: unknown): boolean;
  export function assertEquals<T>(actual: T, expected: T, msg?: string): void;
  export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void;
  export function assertStrictEquals<T>(
    actual: unknown,
    expected: T,
    msg?: string,
  ): asserts actual is T;
  export function assertNotStrictEquals<T>(actual: T, expected: T, msg?: string): void;
  export function assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T>;

  /** Default tolerance: a ten-millionth of `expected`. */
  export function assertAlmostEquals(
    actual: number,
    expected: number,
    tolerance?: number,
    msg?: string,
  ): void;
  type Ordered = number | bigint | string | Date;
  export function assertGreater<T extends Ordered>(actual: T, expected: T, msg?: string): void;
  export function assertGreaterOrEqual<T extends Ordered>(
    actual: T,
    expected: T,
    msg?: string,
  ): void;
  export function assertLess<T extends Ordered>(actual: T, expected: T, msg?: string): void;
  export function assertLessOrEqual<T extends Ordered>(actual: T, expected: T, msg?: string): void;

  export function assertStringIncludes(actual: string, expected: string, msg?: string): void;
  export function assertMatch(actual: string, expected: RegExp, msg?: string): void;
  export function assertNotMatch(actual: string, expected: RegExp, msg?: string): void;
  export function assertArrayIncludes<T>(
    actual: ArrayLike<T>,
    expected: ArrayLike<T>,
    msg?: string,
  ): void;
  /** Every property of `expected` must be in `actual`, at any depth. */
  export function assertObjectMatch(
    actual: object,
    expected: Record<PropertyKey, unknown>,
    msg?: string,
  ): void;
  export function assertInstanceOf<T>(
    actual: unknown,
    expectedType: Class<T>,
    msg?: string,
  ): asserts actual is T;
  export function assertNotInstanceOf<A, T>(
    actual: A,
    unexpectedType: Class<T>,
    msg?: string,
  ): asserts actual is Exclude<A, T>;
  export function assertIsError<E extends Error = Error>(
    error: unknown,
    ErrorClass?: Class<E>,
    msgMatches?: string | RegExp,
    msg?: string,
  ): asserts error is E;

  /** Returns what `fn` threw. */
  export function assertThrows(fn: () => unknown, msg?: string): unknown;
  export function assertThrows<E extends Error>(
    fn: () => unknown,
    ErrorClass: Class<E>,
    msgIncludes?: string | RegExp,
    msg?: string,
  ): E;
  /** Resolves with what the promise of `fn` rejected with. */
  export function assertRejects(fn: () => PromiseLike<unknown>, msg?: string): Promise<unknown>;
  export function assertRejects<E extends Error>(
    fn: () => PromiseLike<unknown>,
    ErrorClass: Class<E>,
    msgIncludes?: string | RegExp,
    msg?: string,
  ): Promise<E>;

  export function fail(msg?: string): never;
  export function unimplemented(msg?: string): never;
  export function unreachable(msg?: string): never;
}
