/** Objects that look like those of the runtime, and make one of the runtime when more is asked of them than they know. */

/**
 * Lets objects of `Light` be instances of `Runtime`, and forwards what they do not have themselves to `made(object)`. The
 * runtime's own functions refuse them as arguments by a `TypeError`, unless these are given `made(object)`.
 */
export function madeOnDemand<T extends object>(
  Light: { readonly prototype: object },
  Runtime: { readonly prototype: T },
  made: (light: object) => T,
): void {
  for (const key of Reflect.ownKeys(Runtime.prototype)) {
    const { get, value } = Object.getOwnPropertyDescriptor(Runtime.prototype, key)!;
    if (Object.hasOwn(Light.prototype, key)) continue;
    if (get !== undefined) {
      Object.defineProperty(Light.prototype, key, {
        configurable: true,
        get(this: object) {
          return Reflect.get(made(this), key);
        },
      });
    } else if (typeof value === "function") {
      Object.defineProperty(Light.prototype, key, {
        configurable: true,
        value(this: object, ...args: unknown[]) {
          return value.apply(made(this), args);
        },
      });
    }
  }
  Object.setPrototypeOf(Light.prototype, Runtime.prototype);
}
