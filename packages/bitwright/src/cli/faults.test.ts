// Hostile sound and damaged models on the command line: an answer, or one line and exit code 1; never a crash or a hang.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { encodeModel, load } from '@bitwright/runtime'
import { seededDraw } from '@bitwright/runtime/testing'
import { mutate } from '@bitwright/runtime/testing/mutate'
import { afterAll, expect, test } from 'vitest'
import { audioModel, bytes, spectral } from '../firmware/testing/audio-model.ts'
import { encodeWav } from '../data/wav.ts'

const launcher = fileURLToPath(new URL('../../bin/bitwright.js', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'bitwright-faults-'))
afterAll(() => rmSync(folder, { recursive: true }))

function bitwright(...args: string[]) {
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [launcher, ...args], { encoding: 'utf8', cwd: folder })
  return { status, signal, stdout, stderr }
}

const model = audioModel(seededDraw(3), spectral(64, 40), bytes)
const { frontEnd } = model
if (frontEnd.kind === 'image') throw new Error('audio only')
const { samples, sampleRate } = frontEnd
const file = encodeModel(model)
writeFileSync(join(folder, 'model.bw'), file)

/** A WAV file of 32-bit floats. */
function floatWav(values: Float32Array): Uint8Array {
  const header = Buffer.alloc(44)
  header.write('RIFF', 0)
  header.writeUInt32LE(36 + values.byteLength, 4)
  header.write('WAVEfmt ', 8)
  header.writeUInt32LE(16, 16)
  for (const [at, value] of [
    [20, 3],
    [22, 1],
    [32, 4],
    [34, 32],
  ])
    header.writeUInt16LE(value, at)
  header.writeUInt32LE(sampleRate, 24)
  header.writeUInt32LE(4 * sampleRate, 28)
  header.write('data', 36)
  header.writeUInt32LE(values.byteLength, 40)
  return Buffer.concat([header, new Uint8Array(values.buffer)])
}

const notFinite = /holds samples that are not finite numbers\n$/
const clipping = Int16Array.from({ length: samples }, (_, i) => (i & 1 ? 32767 : -32768))
test.each<[string, Uint8Array, Int16Array | RegExp]>([
  ['silence', encodeWav(new Int16Array(samples), sampleRate), new Int16Array(samples)],
  ['clipping', encodeWav(clipping, sampleRate), clipping],
  ['far above full scale', floatWav(Float32Array.from(clipping, (sample) => 1e38 * Math.sign(sample + 0.5))), clipping],
  ['one sample', encodeWav(Int16Array.of(0), sampleRate), new Int16Array(samples)],
  ['no samples', encodeWav(new Int16Array(0), sampleRate), /holds no samples\n$/],
  ['no numbers', floatWav(new Float32Array(samples).fill(NaN)), notFinite],
  ['infinite numbers', floatWav(new Float32Array(samples).fill(-Infinity)), notFinite],
  ['two minutes of silence', encodeWav(new Int16Array(120 * sampleRate), sampleRate), new Int16Array(samples)],
])('predict and listen take %s', (_what, wav, expected) => {
  writeFileSync(join(folder, 'clip.wav'), wav)
  const predicted = bitwright('predict', 'model.bw', 'clip.wav', '--json')
  const listened = bitwright('listen', 'model.bw', 'clip.wav', '--json')
  expect([predicted.signal, listened.signal]).toEqual([null, null])
  if (expected instanceof RegExp) {
    for (const [i, { status, stdout, stderr }] of [predicted, listened].entries()) {
      expect([status, stdout]).toEqual([1, ''])
      expect(stderr).toMatch(expected)
      expect(stderr).toMatch(new RegExp(`^bitwright ${['predict', 'listen'][i]}: clip\\.wav: [^\\n]+\\n$`))
    }
  } else {
    expect([predicted.status, listened.status]).toEqual([0, 0])
    expect(JSON.parse(predicted.stdout).logits).toEqual([...load(file).run(expected)])
  }
})

test('every verb that reads a model refuses a damaged one in one line, or does its work', () => {
  writeFileSync(join(folder, 'clip.wav'), encodeWav(clipping, sampleRate))
  const exported = ['onnx', 'firmware', 'web', 'bw'].map((target) => ['export', 'damaged.bw', '--to', target, '--out', `to-${target}`])
  const verbs = [['predict', 'damaged.bw', 'clip.wav'], ['listen', 'damaged.bw', 'clip.wav'], ['info', 'damaged.bw'], ...exported]
  let refused = 0
  for (let seed = 0; seed < verbs.length; seed++) {
    writeFileSync(join(folder, 'damaged.bw'), mutate(seededDraw(seed), file))
    const args = verbs[seed]
    const { status, signal, stderr } = bitwright(...args)
    expect(signal, `${args[0]}, ${seed}`).toBe(null)
    if (status === 0) continue
    refused++
    expect(status, `${args[0]}, ${seed}: ${stderr}`).toBe(1)
    expect(stderr).toMatch(new RegExp(`^bitwright ${args[0]}: damaged\\.bw: [^\\n]+\\n$`))
  }
  expect(refused).toBeGreaterThan(2)
})
