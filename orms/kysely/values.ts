// Kysely's values on their way to PostgreSQL and back: as with `pg`, for which its types and recipes are written. A
// string is the text of whatever type it is for, so of JSON too; a `date` is local midnight; and what was read is written
// back as it was. Beyond `pg` an array for a JSON column is JSON.
import { fixedCodecs, writeArray, written } from '../../plugins/distributed-tenant/index.js'

const DATE = 1082
const TIMESTAMP = 1114
const TIMESTAMPTZ = 1184
const json: ReadonlySet<number> = new Set([114, 3802])

type Parser = (text: string) => unknown

/** A moment that JavaScript cannot hold stays text. */
function moment(text: string, iso: string): unknown {
  if (text === 'infinity') return Number.POSITIVE_INFINITY
  if (text === '-infinity') return Number.NEGATIVE_INFINITY
  const date = new Date(iso)
  return Number.isNaN(date.getTime()) ? text : date
}

/** By type; the others are read as by `request.sql`. */
const parsers: Readonly<Record<number, Parser>> = {
  [DATE]: text => moment(text, `${text}T00:00`),
  [TIMESTAMP]: text => moment(text, text.replace(' ', 'T')),
  [TIMESTAMPTZ]: text => moment(text, text),
}

export const codecs = fixedCodecs({ parsers })

/** A parameter for the driver. */
export function parameterOf(value: unknown): unknown {
  if (value === null || value === undefined) return null
  if (ArrayBuffer.isView(value)) return written(bytesOf(value))
  if (Array.isArray(value)) return written(type => (json.has(type) ? JSON.stringify(value) : arrayText(value)))
  return written(textOf(value))
}

const arrayText = (list: readonly unknown[]): string =>
  writeArray(
    list.map(element => element ?? null),
    ',',
    element => (ArrayBuffer.isView(element) ? `\\x${bytesOf(element).toString('hex')}` : textOf(element)),
  ) as string

function textOf(value: unknown): string {
  if (value instanceof Date) return localText(value)
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value)
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Buffer =>
  Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength)

/** With its offset from UTC, which a `timestamp` and a `date` leave aside. */
function localText(date: Date): string {
  const behind = date.getTimezoneOffset()
  const local = new Date(date.getTime() - behind * 60_000).toISOString().slice(0, -1)
  const two = (value: number): string => String(Math.trunc(value)).padStart(2, '0')
  const distance = Math.abs(behind)
  return `${local}${behind > 0 ? '-' : '+'}${two(distance / 60)}:${two(distance % 60)}`
}
