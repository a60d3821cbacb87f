// How names are compared: what a misspelt one is like, and the values that an option may have.
import { ConfigurationInvalid } from '../errors.js'

/** The known name that this one is like. */
export const nearest = (name: string, known: readonly string[]): string | undefined =>
  known.find(one => one.toLowerCase() === name.toLowerCase() || isOneLetterApart(one, name))

/** The names in `given` that are not known and like one that is. For objects that may have names of an application's own. */
export function misspeltNames(given: object, known: readonly string[]): { name: string; near: string }[] {
  return Object.keys(given).flatMap(name => {
    const near = known.includes(name) ? undefined : nearest(name, known)
    return near ? [{ name, near }] : []
  })
}

/** @throws CONFIGURATION_INVALID naming the option and its values */
export function refuseOtherValue(name: string, value: unknown, values: readonly string[]): void {
  if (value === undefined || values.includes(value as string)) return
  throw new ConfigurationInvalid(`${name} must be ${values.map(one => `'${one}'`).join(' or ')}.`)
}

/** One letter more, less or other, or two that have changed places. */
export function isOneLetterApart(a: string, b: string): boolean {
  if (a === b || Math.abs(a.length - b.length) > 1) return false
  let same = 0
  while (same < a.length && a[same] === b[same]) same++
  const [restA, restB] = [a.slice(same), b.slice(same)]
  return (
    restA.slice(1) === restB.slice(1) ||
    restA.slice(1) === restB ||
    restA === restB.slice(1) ||
    (restA.length > 1 && restA[0] === restB[1] && restA[1] === restB[0] && restA.slice(2) === restB.slice(2))
  )
}
