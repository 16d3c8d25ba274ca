import process from "node:process";

/** Adds a file's variables to the environment, if there is such a file. What the environment has said already stays. */
export function readEnvFile(path: string): void {
  try {
    process.loadEnvFile(path);
  } catch (error) {
    if ((error as { code?: string }).code !== "ENOENT") throw error;
  }
}
