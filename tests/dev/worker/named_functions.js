/** Functions with names that esbuild's `keepNames` has kept, as the driver's package has them. */
const define = Object.defineProperty;
const keepName = (target, text) => define(target, "name", { value: text, configurable: true });
function add(one, other) {
  return one + other;
}
keepName(add, "a-name-of-a-function");
export const sums = [[1, 2], [3, 4]].map(keepName(([one, other]) => {
  return add(one, other);
}, "another-name"));
export const other = { keepName: (text) => text.length }.keepName("kept");
