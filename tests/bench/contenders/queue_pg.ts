const PG = "npm:pg@8.23.1";

export interface PgPool {
  query(text: string, values?: readonly unknown[]): Promise<{ rows: Record<string, unknown>[] }>;
  end(): Promise<void>;
}

const { default: { Pool } }: {
  default: { Pool: new (options: Record<string, unknown>) => PgPool };
} = await import(PG);

/** Connects over TCP, without a WebSocket and a relay. */
export function pgPoolOf(options: { connectionString: string; max: number }): PgPool {
  return new Pool(options);
}
