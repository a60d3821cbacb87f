// A finding for the operator: the problem, its subject, and the cure.
export interface Problem {
  readonly what: string
  /** A tenant, a database, a part. */
  readonly about: string
  /** Where it is, when it is of one instance. */
  readonly instance?: string
  readonly cure: string
  /** Set where it is safe. */
  readonly fix: (() => Promise<void>) | null
  /** To be known, and no problem: it does not change the exit code. */
  readonly note?: true
}

export const problem = (what: string, about: string, cure: string, fix: Problem['fix'] = null): Problem => ({
  what,
  about,
  cure,
  fix,
})

export const note = (what: string, about: string, cure: string): Problem => ({
  ...problem(what, about, cure),
  note: true,
})
