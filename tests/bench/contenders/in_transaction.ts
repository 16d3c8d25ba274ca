/** A client that both node-postgres's and Neon's pool give. */
export interface PoolClient {
  // deno-lint-ignore no-explicit-any -- rows have the columns that their SQL names
  query(text: string, values?: unknown[]): Promise<{ rows: any[] }>;
  release(): void;
}

/** As the documentation of both shows transactions. */
export async function inTransaction<T>(
  pool: { connect(): Promise<PoolClient> },
  work: (client: PoolClient) => Promise<T>,
): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    const value = await work(client);
    await client.query("COMMIT");
    return value;
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  } finally {
    client.release();
  }
}
