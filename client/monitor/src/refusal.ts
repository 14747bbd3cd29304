/** Which errors mean that a server wants a token, or another one. */

import { CloseCode, ConnectionLost, ErrorCode } from "../../src/index.js";

/**
 * Returns whether a server has refused the token, or that there was none; also whether it has ended the connection of
 * a page that had one.
 */
export function isRefusal(error: unknown, hadToken: boolean): boolean {
  if (!(error instanceof ConnectionLost)) return false;
  const said = error.error?.code;
  const isEnded = error.code === CloseCode.POLICY && said === ErrorCode.PERMISSION_DENIED;
  return said === ErrorCode.AUTHENTICATION_FAILED || (hadToken && isEnded);
}
