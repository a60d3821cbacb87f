// The exit codes of a command: 0 done, 1 failed, 2 wrong usage, 3 done with findings. A command that ends otherwise than
// well throws one of these.

/** The command was called wrongly; nothing was done. */
export class UsageError extends Error {}

/** The command did its work, and found a problem. */
export class Drift extends Error {}

export const exitCodes = { ok: 0, failed: 1, usage: 2, drift: 3 } as const

export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return exitCodes.usage
  return error instanceof Drift ? exitCodes.drift : exitCodes.failed
}

/** One line: the failure and the cure. Causes are named, stacks are not. */
export function sentenceOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  // That header is for clients of the services; the command shows none.
  const message = error.message.replace('try again after Retry-After seconds', 'try again')
  const cause = error.cause instanceof Error && !message.includes(error.cause.message) ? error.cause.message : ''
  return cause ? `${message} (${cause})` : message
}

/** The same with the code that docs/troubleshooting.md lists, where the error has such a one. */
export function lastLines(error: unknown): string {
  const { code, statusCode } = error as { code?: unknown; statusCode?: unknown }
  return typeof code === 'string' && typeof statusCode === 'number'
    ? `${code}: ${sentenceOf(error)}`
    : sentenceOf(error)
}
