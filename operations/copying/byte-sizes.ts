// Sizes as people read and write them: powers of 1024 from B to TB, as PostgreSQL has them.
const UNITS = ['B', 'kB', 'MB', 'GB', 'TB']

export function sizeOf(bytes: number): string {
  let at = 0
  let value = bytes
  for (; value >= 1024 && at < UNITS.length - 1; at++) value /= 1024
  return `${value >= 100 || at === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[at]}`
}

/** `50GB`, `1.5 GB`, `1024`. Null for a text that is no size. */
export function bytesOf(text: string): number | null {
  const [, digits, unit = 'B'] = /^(\d+(?:\.\d+)?) ?(B|[kMGT]B)?$/.exec(text) ?? []
  return digits === undefined ? null : Number(digits) * 1024 ** UNITS.indexOf(unit)
}
