// The header `Prefer` (RFC 7240): `wait=<seconds>` and `respond-async`. Malformed and unknown preferences are ignored,
// as the standard asks, and of a repeated preference the first one counts.

export interface Preference {
  /** Whole seconds, at most {@link MAX_WAIT}; 0 when the client does not wait. */
  wait: number
  respondAsync: boolean
  /** The preferences that were applied, for `Preference-Applied`; null without one. */
  applied: string | null
}

/** For longer waits a client asks again. */
export const MAX_WAIT = 60

/** @example `parsePrefer('respond-async, wait=10')` */
export function parsePrefer(header: string | string[] | undefined): Preference {
  const preferences = new Map<string, string>()
  for (const part of [header ?? []].flat().join(',').split(',')) {
    const [name = '', value = ''] = (part.split(';')[0] ?? '').split('=', 2).map(piece => piece.trim())
    const key = name.toLowerCase()
    if (!preferences.has(key)) preferences.set(key, value.replace(/^"(.*)"$/, '$1'))
  }
  const seconds = preferences.get('wait') ?? ''
  const wait = /^\d{1,6}$/.test(seconds) ? Math.min(Number(seconds), MAX_WAIT) : 0
  const respondAsync = preferences.has('respond-async')
  const applied = [respondAsync ? 'respond-async' : [], wait > 0 ? `wait=${wait}` : []].flat().join(', ')
  return { wait, respondAsync, applied: applied || null }
}
