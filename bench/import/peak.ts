// A preload (`--import`): writes the most memory its process ever had, in KiB, into the file BENCH_PEAK when it ends.
import { writeFileSync } from 'node:fs'

const { BENCH_PEAK: file } = process.env
if (file) process.on('exit', () => writeFileSync(file, String(process.resourceUsage().maxRSS)))
