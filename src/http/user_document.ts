import type { User } from "../users/user.ts";
import type { UserDocument } from "./documents.ts";
import { isoTime } from "./iso_time.ts";

/** A user in responses; times are in ISO 8601. */
export function userDocument(user: User): UserDocument {
  return {
    id: user.id,
    email: user.email,
    name: user.name,
    version: user.version,
    createdAt: isoTime(user.createdAt),
    updatedAt: isoTime(user.updatedAt),
  };
}
