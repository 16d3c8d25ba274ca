/**
 * Finds out that a listener has stopped accepting. If the process has no descriptor left when a connection arrives,
 * Deno's `net.Server` emits no error, and accepts nothing from then on, even when there are descriptors again: its
 * event loop is not woken any more (libs/core/uv_compat/tcp.rs of Deno 2.9). A connection of our own shows it.
 */
import { connect, type Socket } from "node:net";

/** How often it connects. */
const INTERVAL_MS = 5_000;

/** A process under load accepts within this time too. */
const TIMEOUT_MS = 2_000;

export interface AcceptWatchOptions {
  readonly address: { readonly host: string; readonly port: number };
  /** Called if the listener did not accept a connection in time. */
  onSilence(): void;
  readonly timeouts?: { intervalMs?: number; timeoutMs?: number } | undefined;
}

export class AcceptWatch {
  readonly #options: AcceptWatchOptions;
  readonly #intervalMs: number;
  readonly #timeoutMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #probe: Socket | undefined;
  /** Since the last look. */
  #hasAccepted = false;

  constructor(options: AcceptWatchOptions) {
    this.#options = options;
    this.#intervalMs = options.timeouts?.intervalMs ?? INTERVAL_MS;
    this.#timeoutMs = options.timeouts?.timeoutMs ?? TIMEOUT_MS;
    this.#wait();
  }

  /** Call it for each connection: any of them shows that the listener accepts. */
  noteAccepted(): void {
    this.#hasAccepted = true;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#probe?.destroy();
    this.#probe = undefined;
  }

  /** Asked first: to connect without permission would prompt the user of a terminal. */
  #mayConnect(): boolean {
    const { host, port } = this.#options.address;
    return Deno.permissions.querySync({ name: "net", host: `${host}:${port}` }).state === "granted";
  }

  #wait(): void {
    this.stop();
    this.#timer = setTimeout(() => this.#look(), this.#intervalMs);
  }

  #look(): void {
    if (this.#hasAccepted || !this.#mayConnect()) {
      this.#hasAccepted = false;
      return this.#wait();
    }
    const probe = this.#probe = connect(this.#options.address);
    // Without a descriptor it cannot tell anything.
    probe.on("error", () => this.#wait());
    probe.on("connect", () => {
      this.#timer = setTimeout(() => {
        if (!this.#hasAccepted) this.#options.onSilence();
        this.#wait();
      }, this.#timeoutMs);
    });
  }
}
