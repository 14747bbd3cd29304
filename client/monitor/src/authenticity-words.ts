/** Texts about sealing and signatures: what is known of the shown stream, and what was refused. */

/** What is known of the messages of a stream. */
export interface Known {
  readonly isSealed: boolean;
  /** Names of the signers that are known and have signed or attested, in hexadecimal. */
  readonly signers: readonly string[];
  /** Names of signers that this page does not know. */
  readonly strangers: readonly string[];
  /** Number of messages that no signer has attested in time, since the last attestation. */
  readonly unattested: number;
}

/** Hexadecimal digits of a signer's name that are shown. */
const SHOWN = 8;

/** As `Sealed · signed by 24f6ed6a`; empty for a plain stream without signatures. */
export function knownInWords({ isSealed, signers, strangers, unattested }: Known): string {
  const parts = [
    isSealed ? "sealed" : "",
    signers.length > 0 ? `signed by ${signers.map(short).join(", ")}` : "",
    strangers.length > 0 ? `unknown signer ${strangers.map(short).join(", ")}` : "",
    unattested > 0 ? "not attested" : "",
  ].filter(Boolean);
  const text = parts.join(" · ");
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

/** A fuller text of the same, as a tooltip. */
export function knownInDetail({ isSealed, signers, strangers, unattested }: Known): string {
  return [
    isSealed ? "The messages are encrypted; whoever changes one is found out." : "",
    signers.length > 0 ? `The signatures of ${signers.join(", ")} are right.` : "",
    strangers.length > 0 ? `This page does not know who ${strangers.join(", ")} is (signer= in its address).` : "",
    unattested > 0 ? `No signer has attested the last ${unattested} messages.` : "",
  ]
    .filter(Boolean)
    .join(" ");
}

/** Why a message is not authentic, by the reason of its error; undefined for other errors. */
const FAULTS: Readonly<Record<string, string>> = {
  plain: "data that is not sealed came on this sealed stream",
  tag: "sealed data was changed on its way, or made by somebody without the key",
  stream: "data of another stream came on this one",
  counter: "sealed data with an impossible number came",
  type: "a control message was sealed, which nobody does",
  key: "the server sent another key for a known one",
  signature: "a signature is wrong or missing",
  signer: "data of a signer came that this page does not know",
  epoch: "an attestation of another time came",
  attestation: "an attestation came twice, or does not follow the one before",
};

/** Returns what has happened, for the reason of an error; null if it says nothing about authenticity. */
export function faultInWords(reason: string | null): string | null {
  return reason !== null && Object.hasOwn(FAULTS, reason) ? FAULTS[reason] : null;
}

/** As `Refused 3 times: data that is not sealed came on this sealed stream. It is not shown.` */
export function refusedInWords(counts: ReadonlyMap<string, number>, unattested = 0): string {
  const said = [...counts].map(([fault, times]) => (times > 1 ? `${fault} (${times} times)` : fault));
  const text = said.join("; ");
  const refused = text === "" ? "" : `${text.slice(0, 1).toUpperCase()}${text.slice(1)}. It is not shown.`;
  const shown = unattested > 0 ? `No signer has attested ${unattested} of the messages that are shown.` : "";
  return `${refused} ${shown}`.trim();
}

function short(name: string): string {
  return name.slice(0, SHOWN);
}
