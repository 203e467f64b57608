// `adapt` as users run it: what it prints, its exit codes, and what it says of wrong use in one line.
import { Random } from '@bitwright/engine'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { encodeWav } from '../data/wav.ts'

const launcher = fileURLToPath(new URL('../../bin/bitwright.js', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'bitwright-adapt-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function bitwright(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [launcher, ...args], { encoding: 'utf8', cwd: folder })
  return { status, stdout, stderr }
}

/** Hisses of two colours, one loud in the beginning and one in the end. */
function clips(name: string, seed: number, words: readonly string[]): void {
  for (const [label, word] of words.entries()) {
    mkdirSync(join(folder, name, word), { recursive: true })
    for (let i = 0; i < 12; i++) {
      const random = new Random(seed, word, i)
      const pcm = Int16Array.from({ length: 16_000 }, (_, t) => Math.round(2000 * random.normal() * (t < 8000 === (label === 0) ? 1 : 0.1)))
      writeFileSync(join(folder, name, word, `${seed}x${i}_nohash_0.wav`), encodeWav(pcm, 16_000))
    }
  }
}

beforeAll(() => {
  clips('old', 1, ['early', 'late'])
  clips('new', 2, ['early', 'late'])
  clips('other', 3, ['early', 'late', 'never'])
  const network = ['--network', 'tc-resnet8', '--epochs', 'train=1,quantize=1', '--batch-size', '9']
  const { status, stderr } = bitwright('train', '--data', 'old', '--split', 'speaker', '--threads', '1', '--out', 'run', ...network)
  expect(stderr).toContain('evaluate')
  expect(status).toBe(0)
})

const common = ['--split', 'speaker', '--threads', '1', '--epochs', '1']

test('goes on with the same network, prints what it knows before and after, and says how to resume', () => {
  const { status, stdout } = bitwright('adapt', 'run', '--data', 'new', ...common, '--force')
  expect(stdout).toMatch(/new, test +\d+ +[\d.]+ % +[\d.]+ % +[\d.]+ %/)
  expect(stdout).toMatch(/old, test +\d+ /)
  expect(stdout).toMatch(/the deployed network, 50 % old samples; .* MACs; the run before: .* MACs/)
  expect(status).toBe(0)
  expect(existsSync(join(folder, 'run-adapted', 'model.bw'))).toBe(true)
  const json = JSON.parse(bitwright('adapt', 'run', '--data', 'new', ...common, '--force', '--out', 'json', '--json').stdout) as {
    status: string
    adaptation: { splits: unknown[] }
  }
  expect(json).toMatchObject({ status: 'finished', adaptation: { replay: 0.5, network: 'kept' } })
  const again = bitwright('adapt', 'run', '--data', 'new', ...common, '--force')
  expect(again.stderr).toMatch(
    /^bitwright adapt: --out run-adapted: already holds a run; go on with it by adding --resume, or give another --out\n$/,
  )
  expect(again.status).toBe(2)
})

test.each([
  [['adapt'], /^bitwright adapt: missing required argument 'RUN'/, 2],
  [['adapt', 'nowhere', '--data', 'new'], /^bitwright adapt: nowhere: holds no run/, 2],
  [['adapt', 'run'], /^bitwright adapt: --data is missing; give the folder with the new clips or images\n$/, 2],
  [['adapt', 'run', '--data', 'gone', ...common], /^bitwright adapt: gone: no such folder/m, 2],
  [
    ['adapt', 'run', '--data', 'new', '--replay', '1'],
    /^bitwright adapt: --replay 1: not understood; give a number from 0 to less than 1\n$/,
    2,
  ],
  [
    ['adapt', 'run', '--data', 'new', '--epochs', 'warmup=3'],
    /^bitwright adapt: --epochs warmup=3: not understood; give a number of epochs/,
    2,
  ],
  [['adapt', 'run', '--data', 'new', '--latency', '3ms'], /^bitwright adapt: --latency: needs --target/, 2],
  [['adapt', 'run', '--data', 'new', '--salt', 'x'], /^bitwright adapt: --salt x: needs --split speaker\n$/, 2],
  [
    ['adapt', 'run', '--data', 'other', ...common],
    /^bitwright adapt: other: has the class never, which the model does not know; it knows early, late$/m,
    2,
  ],
  [
    ['adapt', 'run', '--data', 'new', ...common, '--flash', '1k'],
    /^bitwright adapt: run: its network is over .*no shared weights to search/m,
    2,
  ],
])('%j is wrong use', (args, message, code) => {
  const { status, stdout, stderr } = bitwright(...args, ...(args.includes('--out') || args.length < 3 ? [] : ['--out', 'no']))
  expect(stderr).toMatch(message)
  expect(stdout).toBe('')
  expect(status).toBe(code)
  expect(existsSync(join(folder, 'no'))).toBe(false)
})
