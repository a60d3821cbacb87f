// The employee service as a process.
import { serve } from '../serve.js'
import { buildEmployee } from './app.js'

await serve(buildEmployee, { name: 'employee', port: 3002 })
