// The error behind an ORM's: that of PostgreSQL, Prisma or the tenant plugin, found by its code.

/** A SQLSTATE, a code of Prisma's, or one of the tenant plugin's. */
const ofDatabase = /^(\d[\dA-Z]{4}|P2\d{3}|TENANT_\w+)$/
/** An ORM's error has the driver's, or the tenant plugin's, as its cause, at most so deep. */
const CAUSES_MAX = 5

/** The error itself, or the first of its causes, that has such a code; null when there is none. */
export function causeOfDatabase(thrown: Error): Error | null {
  let error: unknown = thrown
  for (let depth = 0; error instanceof Error && depth < CAUSES_MAX; depth++, error = error.cause) {
    if (ofDatabase.test(String((error as { code?: unknown }).code ?? ''))) return error
  }
  return null
}
