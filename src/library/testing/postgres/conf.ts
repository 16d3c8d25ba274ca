/** The server's postgresql.conf. The port is set on the command line. */
export function postgresConf({ ephemeral }: { ephemeral: boolean }): string {
  return Object.entries({
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    max_connections: "200",
    cluster_name: ephemeral ? "user-service-test" : "user-service-dev",
    log_line_prefix: "%m [%p] %q%u@%d ",
    timezone: "UTC",
    log_timezone: "UTC",
    // There is no standby and no archive, so less WAL is enough.
    wal_level: "minimal",
    max_wal_senders: "0",
    ...(ephemeral ? { fsync: "off", synchronous_commit: "off", full_page_writes: "off" } : {}),
  }).map(([name, value]) => `${name} = '${value}'\n`).join("");
}

/**
 * Asks for a cleartext password, which the driver can send with the startup message, as it does to Neon. One role logs
 * in by SCRAM, for tests of a login without that.
 */
export const postgresHba = `host all user_service_scram 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 password
`;
