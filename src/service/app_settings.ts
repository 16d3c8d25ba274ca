import type { AppOptions } from "../http/app.ts";
import { clientAddress, type ClientAddressOptions } from "../http/fair_use/client_address.ts";
import type { Settings } from "../settings/settings.ts";

export interface AppRuntime extends Pick<ClientAddressOptions, "peerOf"> {
  /** The header in which the runtime names the client's address, where the settings name none. */
  readonly addressHeader?: string;
}

/** What the app takes from the settings, on every runtime. */
export function appSettings(
  { fairUse, corsOrigins, requiresIfMatch, database, logLevel }: Settings,
  { addressHeader, peerOf }: AppRuntime,
) {
  const { addressHeader: header = addressHeader, ...limits } = fairUse;
  const addressOf = clientAddress({ header, peerOf });
  return {
    fairUse: { ...limits, addressOf },
    corsOrigins,
    requiresIfMatch,
    statementTimeoutMs: database.session.statementTimeoutMs,
    showsTimes: logLevel === "debug",
  } satisfies Partial<AppOptions>;
}
