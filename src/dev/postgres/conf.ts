/** The server's postgresql.conf; the port comes on its command line. */
export function postgresConf({ ephemeral }: { ephemeral: boolean }): string {
  return Object.entries({
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    max_connections: "200",
    cluster_name: ephemeral ? "user-service-test" : "user-service-dev",
    log_line_prefix: "%m [%p] %q%u@%d ",
    timezone: "UTC",
    log_timezone: "UTC",
    // No standby, no archive: less to write.
    wal_level: "minimal",
    max_wal_senders: "0",
    ...(ephemeral ? { fsync: "off", synchronous_commit: "off", full_page_writes: "off" } : {}),
  }).map(([name, value]) => `${name} = '${value}'\n`).join("");
}

/**
 * A cleartext password for the roles that send it with the startup message, as the driver does to
 * Neon; SCRAM for the role that tests the other way.
 */
export const postgresHba = `host all user_service_scram 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 password
`;
