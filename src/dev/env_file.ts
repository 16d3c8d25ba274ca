import process from "node:process";

/**
 * Adds the variables of a file to the environment, if the file exists. Variables that are already set keep their
 * values.
 */
export function readEnvFile(path: string): void {
  try {
    process.loadEnvFile(path);
  } catch (error) {
    if ((error as { code?: string }).code !== "ENOENT") throw error;
  }
}
