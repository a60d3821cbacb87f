// placeholder until the events branch lands
export interface StatusEvent {
  id: string
  service: string
  version: number
  status: 'ready' | 'failed' | 'removed'
  step?: string
  attempts?: number
  error?: string
  nextTryAt?: string
  steps?: { step: string; at: string }[]
  schemaVersion?: number
  at: string
}
