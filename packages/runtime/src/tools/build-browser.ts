// Bundles the runtime for browsers into one ES module (`npm run build:browser` commits the result as generated/runtime.js). The bundle is
// one function that returns what browser.ts exports; its text is also the script of the worker, so nothing is in the file twice.

import { renameSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

const sources = new URL('../', import.meta.url)

/** The bundle's text. */
export async function buildBrowser(): Promise<string> {
  const bundle = await rolldown({ input: fileURLToPath(new URL('browser.ts', sources)), platform: 'browser' })
  const { output } = await bundle.generate({ format: 'iife', name: 'runtime', minify: true, comments: false })
  await bundle.close()
  const [{ code, exports }] = output
  return [
    '// Made by `npm run build:browser` from the sources of @bitwright/runtime (Apache-2.0); do not edit.',
    `function bitwrightRuntime() { ${code.trim()} return runtime }`,
    `export const { ${exports.toSorted().join(', ')} } = bitwrightRuntime()`,
    '',
  ].join('\n')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const target = fileURLToPath(new URL('generated/runtime.js', sources))
  const text = await buildBrowser()
  writeFileSync(`${target}.new`, text)
  renameSync(`${target}.new`, target)
  console.log(`runtime.js: ${Buffer.byteLength(text)} bytes`)
}
