/** The part of a login that the package leaves out or does otherwise: SCRAM, and what a client must not accept. */
import { protocolError } from "./message_framing.ts";
import type { NeonClient } from "./neon_client.ts";
import { type ChannelBinding, ScramLogin, type ScramPassword } from "./scram.ts";

export interface Credentials {
  readonly password: ScramPassword;
  readonly channelBinding: ChannelBinding;
}

/** Codes of Authentication messages: https://www.postgresql.org/docs/current/protocol-message-formats.html */
const OK = 0;
/** Between these two is SASLContinue. */
const SASL = 10;
const SASL_FINAL = 12;

export class Login {
  readonly #isBindingRequired: boolean;
  /** The newest message of SCRAM. */
  #step: number | undefined;

  /** Takes SCRAM over from the client, which must not have connected yet. */
  constructor(
    client: NeonClient,
    { password, channelBinding }: Credentials,
    onError: (error: unknown) => void,
  ) {
    this.#isBindingRequired = channelBinding === "require";
    const { connection: wire } = client;
    let scram: ScramLogin;
    client._handleAuthSASL = ({ mechanisms }) => {
      const certificateHash = wire.stream.certificateHash?.();
      scram = new ScramLogin(password, { channelBinding, certificateHash });
      const { mechanism, response } = scram.start(mechanisms);
      wire.sendSASLInitialResponseMessage(mechanism, response);
    };
    client._handleAuthSASLContinue = ({ data }) =>
      scram.answer(data).then((response) => wire.sendSCRAMClientFinalMessage(response)).catch(
        onError,
      );
    client._handleAuthSASLFinal = ({ data }) => scram.verify(data);
  }

  /** Reads the code of an Authentication message before the client does. Throws an `Error` if the login must not go on. */
  read(code: number): void {
    const before = this.#step;
    if (code >= SASL && code <= SASL_FINAL) {
      if (code !== SASL && before !== code - 1) throw protocolError("its login is out of order");
      this.#step = code;
    } else if (this.#isBindingRequired && before !== SASL_FINAL) {
      throw new Error("channel_binding=require needs SCRAM, which the server has not asked for");
    } else if (code === OK && before !== undefined && before !== SASL_FINAL) {
      throw new Error("the server has ended SCRAM without showing that it knows the password");
    }
  }
}
