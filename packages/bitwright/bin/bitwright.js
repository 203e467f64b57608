#!/usr/bin/env node
// Starts the command line on Node 24, which runs the TypeScript sources as they are. An older Node hands over to the copy that is
// pinned as the npm package `node`. This file alone has to run on old versions.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const required = 24

if (Number.parseInt(process.versions.node, 10) >= required) {
  const { main } = await import('../src/cli/main.ts')
  process.exitCode = await main(process.argv.slice(2))
} else {
  const pinned = findPinnedNode()
  if (pinned) runOn(pinned)
  else {
    process.stderr.write(
      `bitwright needs Node ${required} or newer (this is ${process.versions.node}) and its own copy of it is not installed: ` +
        `run \`npm ci\` in the project's folder, or install Node ${required}\n`,
    )
    process.exitCode = 1
  }
}

function findPinnedNode() {
  try {
    const folder = dirname(createRequire(import.meta.url).resolve('node/package.json'))
    const binary = join(folder, 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
    return existsSync(binary) ? binary : undefined
  } catch {
    return undefined
  }
}

function runOn(binary) {
  const child = spawn(binary, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' })
  // A terminal signals parent and child both; a `kill` only the parent. The child takes two within half a second for one.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => {
    process.stderr.write(`bitwright: cannot start ${binary} (${error.message}); run \`npm ci\` again\n`)
    process.exitCode = 1
  })
  child.on('exit', (code, signal) => process.exit(signal ? 128 + constants.signals[signal] : code))
}
