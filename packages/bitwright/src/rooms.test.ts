// The house rule of docs/architecture.md: a room imports from rooms above it and never from one below. Types of the study's plain data
// (events.ts, api.ts) are the exception: every room of the toolkit may use them.
import { readdirSync, readFileSync } from 'node:fs'
import { join, sep } from 'node:path'
import { expect, test } from 'vitest'

const toolkit = import.meta.dirname
const packages = join(toolkit, '../..')

/** Which rooms of the toolkit each one may import. */
const mayKnow: Readonly<Record<string, readonly string[]>> = {
  network: [],
  data: [],
  quantizers: [],
  spaces: ['network'],
  hardware: ['network'],
  training: ['network', 'data', 'quantizers', 'hardware'],
  export: ['network', 'hardware', 'training'],
  firmware: ['data', 'hardware', 'export'],
  search: ['network', 'data', 'quantizers', 'spaces', 'hardware', 'training'],
  report: ['network', 'data', 'hardware'],
  streaming: ['data'],
  study: ['network', 'data', 'quantizers', 'spaces', 'hardware', 'training', 'search', 'report', 'streaming'],
  cli: ['network', 'data', 'quantizers', 'spaces', 'hardware', 'training', 'export', 'firmware', 'search', 'report', 'study'],
}

function sources(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter(
    (file) => file.endsWith('.ts') && !/\.test\.ts$|(^|[/\\])(testing|tools|conformance)([/\\.])/.test(file),
  )
}

/** Every module a file imports, with whether it imports types alone. */
function imports(path: string): { from: string; typeOnly: boolean }[] {
  const text = readFileSync(path, 'utf8')
  const fixed = [...text.matchAll(/^(?:import|export)\s+(type\s)?[^'"]*?from '([^']+)'/gms)]
  const dynamic = [...text.matchAll(/import\('([^']+)'\)/g)]
  return [
    ...fixed.map((match) => ({ from: match[2], typeOnly: match[1] !== undefined })),
    ...dynamic.map((match) => ({ from: match[1], typeOnly: false })),
  ]
}

test('every room of the toolkit knows only rooms above it', () => {
  const offences: string[] = []
  let seen = 0
  for (const file of sources(toolkit)) {
    const [room, ...rest] = file.split(sep)
    if (rest.length === 0) continue
    expect(Object.keys(mayKnow), `${room} is not in docs/architecture.md`).toContain(room)
    for (const { from, typeOnly } of imports(join(toolkit, file))) {
      const other = /^(?:\.\.\/)+([\w-]+)\/([\w.-]+)/.exec(from)
      if (!other || other[1] === room || !(other[1] in mayKnow)) continue
      seen++
      const plainData = typeOnly && other[1] === 'study' && /^(events|api)\.ts$/.test(other[2])
      if (!plainData && !mayKnow[room].includes(other[1])) offences.push(`${file} imports ${from}`)
    }
  }
  expect(offences).toEqual([])
  expect(seen).toBeGreaterThan(100)
})

test('the engine knows of the runtime only how C is compiled, neither knows the toolkit; the runtime has no dependencies', () => {
  const allowed = { engine: /^(\.{1,2}\/|node:|koffi$|@bitwright\/runtime\/compile$)/, runtime: /^(\.{1,2}\/|node:)/ }
  for (const [name, pattern] of Object.entries(allowed)) {
    const source = join(packages, name, 'src')
    const files = sources(source)
    expect(files.length).toBeGreaterThan(10)
    for (const file of files) {
      for (const { from } of imports(join(source, file))) {
        expect(from, `${name}/src/${file}`).toMatch(pattern)
        expect(from, `${name}/src/${file}`).not.toMatch(/(\.\.\/){2,}(bitwright|engine|runtime)\//)
      }
    }
  }
  const manifest = JSON.parse(readFileSync(join(packages, 'runtime/package.json'), 'utf8')) as Record<string, unknown>
  expect(manifest.dependencies ?? {}).toEqual({})
})
