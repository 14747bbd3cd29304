/** What the rules for the fields of messages have in common (check 12). */
import { ProtocolError } from "../errors.js";
import { ErrorCode } from "../protocol.js";
import { type PathStep, pathText } from "./path.js";

/** The rule for a field: what it must be, in words, and a function that checks it. */
export type Rule = readonly [expected: string, accepts: (value: unknown) => boolean];
export type Rules = Readonly<Record<string, Rule>>;

export function integerWithin(min: number, max: number): Rule {
  const accepts = (value: unknown) => Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
  return [`an integer from ${min} to ${max}`, accepts];
}

export function isFiniteNumber(value: unknown): boolean {
  return typeof value === "bigint" || Number.isFinite(value);
}

/** Returns the error of a field that breaks its rule. @param message the name of its type */
export function wrongField(message: string, where: readonly PathStep[], expected: string): ProtocolError {
  const path = pathText(where);
  return new ProtocolError(ErrorCode.INVALID_DATA_FORMAT, `${message}: ${path} must be ${expected}`, {
    check: 12,
    path,
  });
}
