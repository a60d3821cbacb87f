// The codec of messages: subject and bytes to a typed event or to the reason of a refusal, and back to bytes.
// Invariant: an event holds known, checked fields only; a reason is one short sentence that echoes at most 64 escaped
// characters of the input. Never throws on input; `encode` throws only on values that JSON cannot hold.
import { decode, isJsonObject, type JsonObject, quote } from './decode.js'
import { isNewerSchema } from './headers.js'
import { LifecycleBody, lifecycleBody, MAX_SETTINGS_BYTES, StatusBody, statusBody } from './schemas.js'
import { type LifecycleKind, parseSubject, type StatusKind } from './subjects.js'
import type { TenantId } from './tenant-id.js'

interface LifecycleFields {
  readonly id: TenantId
  /** null: the tenant has no domain; absent: unknown. */
  readonly domain?: string | null
  readonly is_active?: boolean
  readonly settings?: JsonObject
  /** Distinguishes one tenant of this id from an earlier or later one. */
  readonly incarnation?: string
  readonly actor?: string
}

/** A `created` without version is a request: it creates, it never changes. Its name is the id if it has none. */
export type CreatedEvent = LifecycleFields & {
  readonly kind: 'created'
  readonly version?: number
  readonly name: string
}
export type ChangedEvent = LifecycleFields & {
  readonly kind: Exclude<LifecycleKind, 'created'>
  readonly version: number
  readonly name?: string
}
/** Body: `{ id, version?, name, domain?, is_active?, settings?, actor? }`; `kind` comes from the subject. */
export type LifecycleEvent = CreatedEvent | ChangedEvent

/** The progress of one service with one tenant. Instants are ISO 8601; `version` 0 is an unnumbered request. */
export interface StatusEvent {
  readonly id: TenantId
  readonly service: string
  readonly version: number
  /** Raised by the service's own database at every change of its row: orders its statuses without a clock. */
  readonly revision: number
  /** As {@link LifecycleEvent}'s, where the service knows it. */
  readonly incarnation?: string
  readonly status: StatusKind
  readonly step?: string
  readonly attempts?: number
  /** With `failed`: a database that is not the service's holds the name; only an operator can end that. */
  readonly foreign?: boolean
  readonly error?: string
  readonly nextTryAt?: string
  readonly steps?: readonly { readonly step: string; readonly at: string }[]
  readonly schemaVersion?: number
  /** The status was published before: identity's ledger lacked it, and nothing was done anew. */
  readonly repeated?: boolean
  readonly at: string
}

/** `newer`: not understood, but it may come from a newer release. */
export type Parsed<E> =
  | { readonly ok: true; readonly event: E }
  | { readonly ok: false; readonly reason: string; readonly newer?: boolean }

type Headers = Readonly<Record<string, string>>

/** `tenant.<kind>` and its body to a lifecycle event. */
export function parseLifecycle(subject: string, data: Uint8Array, headers: Headers = {}): Parsed<LifecycleEvent> {
  const parts = parseSubject(subject)
  if (parts?.type !== 'lifecycle') return { ...refuse(`${quote(subject)} is not a lifecycle subject`), newer: true }
  if (isNewerSchema(headers)) return newerSchema(headers)
  const decoded = decode(data)
  if (!decoded.ok) return decoded
  const body = decoded.value
  if (!isJsonObject(body)) return refuse('the body is not a JSON object')
  if (!lifecycleBody.Check(body)) return refuse(firstFlaw(body, lifecycleBody.Errors(body), LifecycleBody.properties))

  // The schema has checked every field that is read here; `settings` came from JSON, so its values are JSON.
  const { version, name, domain, is_active, incarnation, actor } = body
  const settings = body.settings as JsonObject | undefined
  if (settings !== undefined && Buffer.byteLength(JSON.stringify(settings)) > MAX_SETTINGS_BYTES) {
    return refuse(`settings must have at most ${MAX_SETTINGS_BYTES} bytes as JSON`)
  }
  const fields: LifecycleFields = {
    id: body.id as TenantId,
    ...(domain !== undefined && { domain }),
    ...(is_active !== undefined && { is_active }),
    ...(settings !== undefined && { settings }),
    ...(incarnation !== undefined && { incarnation }),
    ...(actor !== undefined && { actor }),
  }
  if (parts.kind === 'created') {
    if (version === undefined) return accept({ kind: 'created', ...fields, name: name ?? fields.id })
    if (version !== 1) return refuse(`version ${version} is not a creation’s: identity makes every tenant as version 1`)
    if (name === undefined) return refuse('name is missing: a numbered tenant.created carries the whole tenant')
    return accept({ kind: 'created', ...fields, version, name })
  }
  if (version === undefined) return refuse(`version is missing: tenant.${parts.kind} needs one`)
  return accept({ kind: parts.kind, ...fields, version, ...(name !== undefined && { name }) })
}

/** `tenant.<kind>.<service>` and its body to a status event; both must say the same service and status. */
export function parseStatus(subject: string, data: Uint8Array, headers: Headers = {}): Parsed<StatusEvent> {
  const parts = parseSubject(subject)
  if (parts?.type !== 'status') return { ...refuse(`${quote(subject)} is not a status subject`), newer: true }
  if (isNewerSchema(headers)) return newerSchema(headers)
  const decoded = decode(data)
  if (!decoded.ok) return decoded
  const body = decoded.value
  if (!isJsonObject(body)) return refuse('the body is not a JSON object')
  if (!statusBody.Check(body)) return refuse(firstFlaw(body, statusBody.Errors(body), StatusBody.properties))
  // A service's NATS account may publish its own subjects only: a body that says otherwise is a forgery.
  if (body.service !== parts.service) return refuse('service contradicts the subject')
  if (body.status !== parts.kind) return refuse('status contradicts the subject')
  for (const instant of [body.at, body.nextTryAt, ...(body.steps ?? []).map(one => one.at)]) {
    if (instant !== undefined && Number.isNaN(Date.parse(instant))) return refuse('an instant names no real time')
  }
  const { incarnation, step, attempts, foreign, error, nextTryAt, steps, schemaVersion, repeated } = body
  return accept({
    id: body.id as TenantId,
    service: body.service,
    version: body.version,
    revision: body.revision,
    status: body.status,
    ...(incarnation !== undefined && { incarnation }),
    ...(step !== undefined && { step }),
    ...(attempts !== undefined && { attempts }),
    ...(foreign !== undefined && { foreign }),
    ...(error !== undefined && { error }),
    ...(nextTryAt !== undefined && { nextTryAt }),
    ...(steps !== undefined && { steps: steps.map(one => ({ step: one.step, at: one.at })) }),
    ...(schemaVersion !== undefined && { schemaVersion }),
    ...(repeated !== undefined && { repeated }),
    at: body.at,
  })
}

/** An event, or a stored body, to bytes. A lifecycle event's `kind` stays out: the subject carries it. */
export function encode(event: LifecycleEvent | StatusEvent | Readonly<JsonObject>): Uint8Array {
  const { kind: _, ...body } = event as { kind?: unknown }
  return new TextEncoder().encode(JSON.stringify(body))
}

function accept<E>(event: E): Parsed<E> {
  return { ok: true, event }
}

function refuse(reason: string): { ok: false; reason: string } {
  return { ok: false, reason }
}

function newerSchema(headers: Headers): { ok: false; reason: string; newer: true } {
  return {
    ...refuse(`the body has the form ${quote(headers['ce-dataschema'])}, which this release does not know`),
    newer: true,
  }
}

interface Flaw {
  readonly keyword: string
  readonly instancePath: string
  readonly params: object
}

// The schema's own sentences are shown, never the validator's, which may quote the input.
function firstFlaw(body: JsonObject, flaws: readonly Flaw[], properties: Readonly<Record<string, object>>): string {
  const flaw = flaws[0]
  if (flaw === undefined) return 'the body breaks its schema'
  if (flaw.keyword === 'required' && flaw.instancePath === '' && 'requiredProperties' in flaw.params) {
    return `${String(flaw.params.requiredProperties).split(',')[0]} is missing`
  }
  const field = flaw.instancePath.split('/')[1] ?? ''
  const property = properties[field] ?? {}
  const rule = 'description' in property ? String(property.description) : 'breaks its schema'
  return field === 'id' ? `id ${quote(body.id)} ${rule}` : `${field} ${rule}`
}
