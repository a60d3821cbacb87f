// Owns how a broken constraint of the schema becomes an answer: by the constraint's name, in one place per statement.
// Anything that is not named here passes through unchanged; a database that is gone is not a conflict.

/** Which error a constraint's name stands for. */
export type Constraints = Readonly<Record<string, new () => Error>>

/**
 * Awaits a statement; a violation (SQLSTATE class 23) of a named constraint is thrown as its error.
 * @example `await naming({ employees_number_key: EmployeeExists }, sql`insert …`)`
 */
export async function naming<T>(constraints: Constraints, statement: PromiseLike<T>): Promise<T> {
  try {
    return await statement
  } catch (error) {
    const { code, constraint_name: name } = error as { code?: string; constraint_name?: string }
    const Named = code?.startsWith('23') && name !== undefined ? constraints[name] : undefined
    throw Named ? new Named() : error
  }
}
