/** A driver's package of another version, which lacks two of the modules that are dropped. */
const lazily =
  (run, module) =>
  () => (module || run((module = { exports: {} }).exports, module), module.exports);
export const pool = lazily((_exports, module) => {
  module.exports = () => {
    throw new Error("Release called on client which has already been released to the pool.");
  };
});
