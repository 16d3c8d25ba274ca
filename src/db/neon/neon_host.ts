/** Whether a host is Neon's. Such a host needs no relay and accepts the password with the startup message. */
export function isNeonHost(host: string): boolean {
  return host.toLowerCase().endsWith(".neon.tech");
}
