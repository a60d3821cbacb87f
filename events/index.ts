// The public surface of what crosses the stream.

export type { StatusEvent } from './messages.js'
export { isTenantId, TENANT_ID_MAX, TENANT_ID_PATTERN, type TenantId } from './tenant-id.js'
