// The mapping of violated constraints to errors, by the constraint's name, in one place per statement.
// An error that is not named here passes through unchanged; an unreachable database is not a conflict.

/** The error of each constraint, by its name. */
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
