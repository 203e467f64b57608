// Puts the C sources that native.ts compiles into the package while npm packs it, and takes them out again (`--remove`).

import { cpSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const target = fileURLToPath(new URL('../../core/', import.meta.url))
rmSync(target, { recursive: true, force: true })
if (!process.argv.includes('--remove')) cpSync(fileURLToPath(new URL('../../../../core/', import.meta.url)), target, { recursive: true })
