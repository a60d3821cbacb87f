// Faults of the driver on a connection that goes on after an error, and what makes up for each (docs/decisions/0001).

/**
 * A command without rows, effect or need of a transaction (outside of one it only warns). After a statement that failed
 * half way the driver continues its count of rows; a command that returns no rows resets the count.
 */
export const ROWLESS = `set local "distributed_tenant.recount" = ''`

/** For a result whose statement was sent before the one in front of it failed, too early for ROWLESS: drops the holes. */
export function fromTheFirstRow(value: unknown): unknown {
  if (Array.isArray(value) && value.length > 0 && !(0 in value)) {
    value.splice(
      0,
      value.findIndex((_, at) => at in value),
    )
  }
  return value
}

/** The driver has put text and parameters of the statement that it failed into the error: they are another caller's. */
export function withoutStatement(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const { name, message, code } = error as Error & { code?: string }
  return Object.assign(new Error(message), { name, ...(code !== undefined && { code }) })
}
