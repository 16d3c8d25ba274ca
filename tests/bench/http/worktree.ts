/** Another revision of this repository, in a directory of its own. */

export interface OtherRevision extends AsyncDisposable {
  readonly revision: string;
  readonly root: string;
}

export async function checkOut(revision: string): Promise<OtherRevision> {
  const root = await Deno.makeTempDir({ prefix: "bench-" });
  await git("worktree", "add", "--detach", root, revision);
  return {
    revision: await git("rev-parse", "--short", revision),
    root,
    [Symbol.asyncDispose]: async () => void await git("worktree", "remove", "--force", root),
  };
}

async function git(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("git", {
    args,
    cwd: import.meta.dirname!,
  }).output();
  if (!success) {
    throw new Error(`Cannot check out the revision: ${new TextDecoder().decode(stderr).trim()}`);
  }
  return new TextDecoder().decode(stdout).trim();
}
