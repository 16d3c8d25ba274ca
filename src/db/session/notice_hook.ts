import type { Notice } from "../driver/driver.ts";

/** The caller's function for notices, in a form that never throws: the driver calls it while it reads the server's bytes. */
export function noticeHook(
  onNotice: ((notice: Notice) => void | Promise<void>) | undefined,
  { waitUntil }: { waitUntil: (rest: Promise<void>) => void },
): ((notice: Notice) => void) | undefined {
  if (onNotice === undefined) return undefined;
  return (notice) => {
    try {
      const done = onNotice(notice);
      if (done instanceof Promise) waitUntil(done);
    } catch (error) {
      waitUntil(Promise.reject(error));
    }
  };
}
