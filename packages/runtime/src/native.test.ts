// The core compiled for this processor beside WebAssembly: the same answers and refusals, in threads too; the way out without a compiler;
// and that the package carries what it compiles. (The compiler and its cache: engine's native.test.ts.)

import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { BadModelError, encodeModel, load } from './index.ts'
import { loadNative, nativeMissing } from './native.ts'
import { randomClip, randomModel, seededDraw } from './testing/random-model.ts'

const skip = await nativeMissing()
const cases = Array.from({ length: 120 }, (_, seed) => {
  const draw = seededDraw(90_000 + seed)
  const model = randomModel(draw)
  return { bytes: encodeModel(model), clip: randomClip(draw, model.frontEnd) }
})
const moduleUrl = new URL('native.ts', import.meta.url).href

/** Loads case 0 in a process of its own and says what it runs on and its logits. */
const script = (from: string) => `
  const { loadNative } = await import(${JSON.stringify(from)})
  const model = await loadNative(Uint8Array.from(${JSON.stringify([...cases[0].bytes])}))
  const again = await loadNative(model.file)
  console.log(again.home, String(again.run(${cases[0].clip.constructor.name}.from(${JSON.stringify([...cases[0].clip])}))))`

function inProcess(from: string, environment: NodeJS.ProcessEnv): { output: string; errors: string } {
  const options = { encoding: 'utf8', env: { ...process.env, ...environment } } as const
  const { stdout, stderr } = spawnSync(process.execPath, ['--no-warnings', '--input-type=module', '-e', script(from)], options)
  return { output: stdout, errors: stderr }
}

test.skipIf(skip)('clips, features of the front end and scores are those of WebAssembly, with models in turns', async () => {
  const models = await Promise.all(cases.map(async ({ bytes }) => [load(bytes), await loadNative(bytes)]))
  expect(new Set(models.flat().map(({ home, frontEnd }) => `${home} ${frontEnd.kind}`)).size).toBeGreaterThanOrEqual(6)
  for (const [i, { clip }] of cases.entries()) {
    const [wasm, native] = models[i]
    expect([i, native.predict(clip)]).toEqual([i, wasm.predict(clip)])
  }
})

test.skipIf(skip)('what WebAssembly refuses is refused in the same words', async () => {
  const { bytes, clip } = cases[0]
  const damaged = bytes.slice()
  damaged[100] ^= 1
  await expect(loadNative(damaged, 'a.bw')).rejects.toThrow(new BadModelError('a.bw: checksum differs (file is damaged): export it again'))
  const native = await loadNative(bytes)
  for (const input of [clip.slice(1), clip instanceof Int16Array ? new Uint8Array(3) : new Int16Array(3)]) {
    let message = ''
    try {
      load(bytes).run(input)
    } catch (error) {
      message = (error as Error).message
    }
    expect(() => native.run(input)).toThrow(new RangeError(message))
  }
})

test.skipIf(skip)('threads have cores of their own, which go with them', async () => {
  const native = await loadNative(cases[0].bytes)
  const expected = native.run(cases[0].clip)
  const code = `
    const { parentPort, workerData } = require('node:worker_threads')
    import(${JSON.stringify(moduleUrl)}).then(async ({ loadNative }) => {
      const model = await loadNative(workerData.bytes)
      for (let i = 0; i < 200; i++) model.run(workerData.clip)
      parentPort.postMessage([model.home, model.run(workerData.clip)])
    })`
  for (let round = 0; round < 3; round++) {
    const answers = await Promise.all(
      cases.slice(0, 3).map(
        (workerData) =>
          new Promise((resolve, reject) => {
            const worker = new Worker(code, { eval: true, workerData })
            let answer: unknown
            worker.on('message', (message) => (answer = message))
            worker.on('error', reject)
            worker.on('exit', () => resolve(answer))
          }),
      ),
    )
    expect(answers).toEqual(cases.slice(0, 3).map(({ bytes, clip }) => ['native', load(bytes).run(clip)]))
    expect(native.run(cases[0].clip)).toEqual(expected)
  }
})

test('without a compiler WebAssembly takes over, and one line says why', () => {
  const { output, errors } = inProcess(moduleUrl, { CC: '/nowhere/cc' })
  expect(output).toBe(`wasm ${load(cases[0].bytes).run(cases[0].clip)}\n`)
  expect(errors).toBe(
    'the C compiler in $CC (/nowhere/cc) does not run; correct or unset CC: models run on WebAssembly instead, at about half the speed\n',
  )
})

test.skipIf(skip)('the packed package compiles the core that it carries (skipped without a C compiler)', () => {
  const directory = mkdtempSync(join(tmpdir(), 'bitwright-pack-'))
  try {
    const runtime = join(import.meta.dirname, '..')
    execFileSync('npm', ['pack', '--silent', '--pack-destination', directory], { cwd: runtime, stdio: 'pipe' })
    execFileSync('tar', ['-xzf', readdirSync(directory)[0]], { cwd: directory })
    const cache = join(directory, 'cache')
    const { output, errors } = inProcess(join(directory, 'package/src/native.ts'), { XDG_CACHE_HOME: cache })
    expect(errors).toMatch(/^compiling the core for this processor with \S+ \S+ \(once\)\n$/)
    expect(output).toBe(`native ${load(cases[0].bytes).run(cases[0].clip)}\n`)
    expect(readdirSync(join(cache, 'bitwright'))).toEqual([expect.stringMatching(/^core-[0-9a-f]{32}\.so$/)])
  } finally {
    rmSync(directory, { recursive: true })
  }
})
