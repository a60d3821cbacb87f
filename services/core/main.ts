// The core service as a process.
import { serve } from '../serve.js'
import { buildCore } from './app.js'

await serve(buildCore, { name: 'core', port: 3003 })
