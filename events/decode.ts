// The decoder of untrusted bytes into a JSON value that PostgreSQL can hold.
// Invariant: a decoded value has bounded size and depth, no `__proto__` key, no NUL, no lone surrogate, no infinite number
// (PostgreSQL text and jsonb refuse these, and a refusal there would be retried without end). Never throws.

export const MAX_BYTES = 1024 * 1024
export const MAX_DEPTH = 32

export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject
export type JsonObject = { [key: string]: JsonValue }

export type Decoded = { ok: true; value: JsonValue } | { ok: false; reason: string }

const utf8 = new TextDecoder('utf-8', { fatal: true })
const loneSurrogate = /\p{Surrogate}/u

/** Bytes to JSON; a refusal is one short sentence that echoes nothing of the input. */
export function decode(data: Uint8Array): Decoded {
  if (data.byteLength === 0) return refuse('the body is empty')
  if (data.byteLength > MAX_BYTES) return refuse(`the body has ${data.byteLength} bytes, more than ${MAX_BYTES}`)
  let text: string
  try {
    text = utf8.decode(data)
  } catch {
    return refuse('the body is not UTF-8')
  }
  let value: JsonValue
  try {
    value = JSON.parse(text)
  } catch {
    return refuse('the body is not JSON')
  }
  const flaw = jsonFlaw(value)
  return flaw === null ? { ok: true, value } : refuse(flaw)
}

export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Quotes a value for a reason: escaped to printable ASCII and cut, at most 64 characters between the quotes. */
export function quote(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value))
  let out = ''
  for (const unit of text.slice(0, 65).split('')) {
    const printable = unit >= ' ' && unit <= '~' && unit !== '"' && unit !== '\\'
    const next = printable ? unit : `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
    if (out.length + next.length > 61) return `"${out}..."`
    out += next
  }
  return `"${out}"`
}

function refuse(reason: string): Decoded {
  return { ok: false, reason }
}

/**
 * Why an event could not carry this value, as a short sentence about `the body`; null when it could.
 * Walks with its own stack: a recursive walk would fail on a body of brackets alone.
 */
export function jsonFlaw(root: JsonValue): string | null {
  const stack: { value: JsonValue; depth: number }[] = [{ value: root, depth: 1 }]
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    const { value, depth } = top
    if (typeof value === 'string') {
      const flaw = textFlaw(value)
      if (flaw !== null) return flaw
    } else if (typeof value === 'number') {
      if (!Number.isFinite(value)) return 'the body holds a number too large to store'
    } else if (typeof value === 'object' && value !== null) {
      if (depth > MAX_DEPTH) return `the body is nested more than ${MAX_DEPTH} levels deep`
      if (Array.isArray(value)) {
        for (const item of value) stack.push({ value: item, depth: depth + 1 })
      } else {
        for (const key of Object.keys(value)) {
          if (key === '__proto__') return 'the body holds a __proto__ key'
          const flaw = textFlaw(key)
          if (flaw !== null) return flaw
          stack.push({ value: value[key] as JsonValue, depth: depth + 1 })
        }
      }
    }
  }
  return null
}

function textFlaw(text: string): string | null {
  if (text.includes('\u0000')) return 'the body holds a NUL character, which PostgreSQL cannot store'
  if (loneSurrogate.test(text)) return 'the body holds half a surrogate pair, which PostgreSQL cannot store'
  return null
}
