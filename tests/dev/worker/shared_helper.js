/** Here something else than the calls needs the helper of `keepNames`. */
const define = Object.defineProperty;
const keepName = (target, text) => define(target, "name", { value: text, configurable: true });
export const named = keepName(() => 1, "a-name-of-a-function");
export const helper = keepName;
