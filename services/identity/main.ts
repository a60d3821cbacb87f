// The identity service as a process.
import { serve } from '../serve.js'
import { buildIdentity } from './app.js'

await serve(buildIdentity, { name: 'identity', port: 3001 })
