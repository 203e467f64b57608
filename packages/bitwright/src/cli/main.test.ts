// The launcher as users run it: a child process per case, its exit code, and one line that says what is wrong.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { encodeModel, type IntegerModel, load } from '@bitwright/runtime'
import { encodeWav } from '../data/wav.ts'
import { readOnnx } from '../export/testing/onnx-reader.ts'
import { withBits } from '../network/transform.ts'
import { writeCheckpoint } from '../study/checkpoint.ts'
import { openJournal } from '../study/journal.ts'
import { createStore } from '../training/initialize.ts'
import { openEngine, toneNetwork } from '../training/testing/tones.ts'
import { sampleEvents } from '../report/testing/sample-events.ts'
import type { Network } from '../network/network.ts'
import { accuracyTable, confusionTable, frontTable, recallTable, resultSummary } from './score-tables.ts'
import type { EvaluateResult } from '../study/api.ts'

const launcher = fileURLToPath(new URL('../../bin/bitwright.js', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'bitwright-cli-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function bitwright(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [launcher, ...args], { encoding: 'utf8', cwd: folder })
  return { status, stdout, stderr }
}

describe('bitwright', () => {
  test.each([
    [[], /^Usage: bitwright <verb>/],
    [['serach'], /^bitwright: serach: no such verb; did you mean search\?\n$/],
    [['xylophone'], /^bitwright: xylophone: no such verb; give one of search, train,/],
    [['search', '--flsh', '3'], /^bitwright search: unknown option '--flsh' \(Did you mean --flash\?\)\n$/],
    [['search'], /^bitwright search: --data is missing; give a folder/],
    [['search', '--data'], /^bitwright search: option '--data <DIR>' argument missing; see `bitwright search --help`\n$/],
    [['search', '--data', 'd', '--out', 'o', '--space', 'kws-e2'], /--space kws-e2: no such choice; did you mean kws-e2e\?/],
    [['train', '--data', 'd', '--out', 'o'], /^bitwright train: --network is missing; give a built-in network/],
    [
      ['train', '--network', 'ds-cnn-s', '--data', 'd', '--out', 'o', '--epochs', 'quantize=0', '--weight-bits', 'trained'],
      /^bitwright train: --epochs quantize=0: trained widths need epochs to be trained in/,
    ],
    [['evaluate', 'nowhere', '--data', 'd'], /^bitwright evaluate: nowhere: holds no run/],
    [['evaluate', 'nowhere', '--data', 'd', '--split', 'tset'], /--split tset: no such choice; did you mean test\?/],
    [['info', 'ds-cnn-m'], /^bitwright info: ds-cnn-m: no built-in network; did you mean ds-cnn-s\?\n$/],
    [['info', 'none.bw'], /^bitwright info: none.bw: no such file/],
    [['info', 'gcn'], /^bitwright info: gcn: has the sizes of its graph; give one: bitwright info gcn --data cora\.json\n$/],
    [['info', 'ds-cnn-s', '--data', 'g.json'], /^bitwright info: --data g\.json: ds-cnn-s has its sizes without a graph; leave it away\n$/],
    [['predict', 'none.bw', 'x.wav'], /^bitwright predict: none.bw: no such file/],
    [['predict', 'none.bw'], /^bitwright predict: missing required argument 'FILE'; see `bitwright predict --help`\n$/],
    [['export', 'none.bw', '--to', 'onnx', '--out', 'o'], /^bitwright export: none.bw: no such file/],
    [['export', 'none.bw', '--to', 'onxx', '--out', 'o'], /^bitwright export: --to onxx: no such choice; did you mean onnx\?/],
    [['export', 'none.bw', '--out', 'o'], /^bitwright export: --to is missing; give onnx, firmware, web or bw/],
    [['export', 'none.bw', '--to', 'onnx'], /^bitwright export: --out is missing; give a folder/],
    [['export', 'none.bw', '--to', 'bw', '--exact', '--out', 'o'], /^bitwright export: --exact: only quantized ONNX has such a form/],
    [['export', 'none.bw', '--to', 'bw', '--front-end', '--out', 'o'], /^bitwright export: --front-end: bw has no use for it/],
    [['data', 'inspect', 'nowhere'], /^bitwright data: nowhere: no such folder/],
    [['data', 'synth', '--words', 'a'], /^bitwright data: --out is missing/],
    [['report', 'nowhere'], /^bitwright report: nowhere: holds no run/],
  ])('%j is wrong use', (args, message) => {
    const { status, stdout, stderr } = bitwright(...args)
    expect(stderr).toMatch(message)
    expect(stdout).toBe('')
    expect(status).toBe(2)
  })

  test('a damaged model is a failure in one line', () => {
    writeFileSync(join(folder, 'bad.bw'), 'not a model')
    const { status, stderr } = bitwright('info', 'bad.bw')
    expect(stderr).toMatch(/^bitwright info: .*bad\.bw.*\n$/)
    expect(status).toBe(1)
  })

  test.each([['search'], ['train'], ['evaluate'], ['info'], ['predict'], ['export'], ['data'], ['report'], ['quickstart']])(
    '%s --help',
    (verb) => {
      const { status, stdout } = bitwright(verb, '--help')
      expect(stdout).toMatch(new RegExp(`^Usage: bitwright ${verb}`))
      expect(status).toBe(0)
    },
  )

  test('--version', () => expect(bitwright('--version').stdout).toMatch(/^\d+\.\d+\.\d+\n$/))

  test('info --json prints one document', () => {
    const { status, stdout } = bitwright('info', 'ds-cnn-s', '--json')
    expect(status).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ name: 'ds-cnn-s', kind: 'network', params: 23_180, flashBytes: expect.any(Number) })
  })

  test('info of a built-in network for graphs on a graph', () => {
    const sizes = { numNodes: 3, numFeatures: 2, numClasses: 2, edges: [[0, 1]], featureIndptr: [0, 1, 2, 2], featureIndices: [0, 1] }
    writeFileSync(join(folder, 'graph.json'), JSON.stringify({ ...sizes, labels: [0, 1, 0], train: [0], val: [1], test: [2] }))
    const { stdout } = bitwright('info', 'gcn', '--data', 'graph.json', '--json')
    // two layers of weights, and biases
    expect(JSON.parse(stdout)).toMatchObject({ name: 'gcn', params: 2 * 16 + 16 + 16 * 2 + 2, frontEnd: { nodes: 3, edges: 1 } })
    expect(bitwright('info', 'gcn', '--data', 'graph.json').stdout).toMatch(/^input +graph of 3 nodes, 2 features each$/m)
    expect(bitwright('info', 'gcn', '--data', 'graph.json', '--target', 'cortex-m4@80MHz')).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/^bitwright info: the network works on a graph: there is no integer model of it/),
    })
  })

  test('info of a file that is no network names the file', () => {
    writeFileSync(join(folder, 'a.json'), '{"format": 3}')
    expect(bitwright('info', 'a.json')).toMatchObject({ status: 2, stderr: expect.stringMatching(/^bitwright info: a\.json: network: /) })
  })

  describe('with a model file', () => {
    /** Class `up` for samples above zero, `down` for samples below. */
    const tensor = { scale: 1, zeroPoint: 0, containerBits: 16, bits: 16, min: -32768, max: 32767 } as const
    const model: IntegerModel = {
      name: 'sign',
      classes: ['up', 'down'],
      frontEnd: { kind: 'raw', sampleRate: 16000, samples: 4 },
      tensors: [
        { ...tensor, name: 'audio', shape: [4, 1, 1], scale: 2 ** -15 },
        { ...tensor, name: 'logits', shape: [1, 1, 2] },
      ],
      layers: [
        {
          op: 'convolution',
          name: 'logits',
          input: 0,
          output: 1,
          kernelSize: [4, 1],
          stride: [1, 1],
          padding: [0, 0, 0, 0],
          groups: 1,
          weightBits: 2,
          weights: Int8Array.of(1, 1, 1, 1, -1, -1, -1, -1),
          bias: new Int32Array(2),
          multiplier: Int32Array.of(2 ** 30, 2 ** 30),
          shift: new Int8Array(2),
        },
      ],
    }
    const file = encodeModel(model)
    writeFileSync(join(folder, 'sign.bw'), file)

    test.each([
      [[1000, 2000, 3000, 4000], 'up', [5000, -5000]],
      [[-8, -8, -8, -8], 'down', [-16, 16]],
    ])('predict hears %j as %s', (samples, label, logits) => {
      writeFileSync(join(folder, 'clip.wav'), encodeWav(Int16Array.from(samples), 16000))
      const { status, stdout } = bitwright('predict', 'sign.bw', 'clip.wav', '--json')
      expect(status).toBe(0)
      expect(JSON.parse(stdout)).toMatchObject({ label, classes: ['up', 'down'], logits })
      expect(bitwright('predict', 'sign.bw', 'clip.wav').stdout.split('\n')[0]).toBe(label)
    })

    test('predict on a file that is no WAV fails and names it', () => {
      writeFileSync(join(folder, 'noise.wav'), 'noise')
      expect(bitwright('predict', 'sign.bw', 'noise.wav')).toMatchObject({
        status: 1,
        stderr: expect.stringMatching(/^bitwright predict: noise\.wav: /),
      })
    })

    test('info gives the exact size of the file', () => {
      const { stdout } = bitwright('info', 'sign.bw', '--json')
      expect(JSON.parse(stdout)).toMatchObject({
        name: 'sign',
        kind: 'model',
        macs: 8,
        flashBytes: file.length,
        averageWeightBits: 2,
        layers: [{ name: 'logits', weightBits: 2, activationBits: 16 }],
      })
    })

    test('predict sees images: plain pixels, or a file that is decoded', async () => {
      const [input, logits] = model.tensors
      const pixels = { ...input, containerBits: 8, bits: 8, min: -128, max: 127, scale: 2 ** -7 } as const
      const frontEnd = { kind: 'image', height: 4, width: 1, channels: 1 } as const
      writeFileSync(join(folder, 'image.bw'), encodeModel({ ...model, frontEnd, tensors: [pixels, logits] }))
      writeFileSync(join(folder, 'dark.raw'), Uint8Array.of(100, 90, 110, 80))
      const { label, logits: given } = JSON.parse(bitwright('predict', 'image.bw', 'dark.raw', '--json').stdout)
      const expected = load(readFileSync(join(folder, 'image.bw'))).run(Uint8Array.of(100, 90, 110, 80))
      expect([label, given]).toEqual(['down', [...expected]])
      expect(bitwright('predict', 'image.bw', 'clip.wav').stderr).toBe(
        'bitwright predict: clip.wav: is sound, and the model takes images\n',
      )
      writeFileSync(join(folder, 'odd.raw'), new Uint8Array(7))
      expect(bitwright('predict', 'image.bw', 'odd.raw')).toMatchObject({
        status: 2,
        stderr: expect.stringContaining('odd.raw: has 7 bytes; give PNG or JPEG files, CIFAR batches, or whole images of 4 bytes each'),
      })
      writeFileSync(join(folder, 'two.raw'), new Uint8Array(8))
      expect(bitwright('predict', 'image.bw', 'two.raw').stderr).toMatch(/two\.raw: has 2 images; give one/)
      writeFileSync(join(folder, 'test_batch.bin'), new Uint8Array(3073))
      expect(bitwright('predict', 'image.bw', 'test_batch.bin#0').stderr).toMatch(/CIFAR images are 32x32x3, the model takes 4x1x1/)
      writeFileSync(join(folder, 'broken.png'), 'no image')
      expect(bitwright('predict', 'image.bw', 'broken.png')).toMatchObject({
        status: 1,
        stderr: expect.stringMatching(/^bitwright predict: broken\.png: /),
      })
      const sharp = await import('sharp').then(
        (module) => module.default,
        () => undefined,
      )
      if (sharp) {
        await sharp({ create: { width: 20, height: 80, channels: 3, background: '#fff' } })
          .jpeg()
          .toFile(join(folder, 'bright.jpg'))
        expect(JSON.parse(bitwright('predict', 'image.bw', 'bright.jpg', '--json').stdout).label).toBe('up')
      }
      expect(bitwright('info', 'image.bw').stdout).toMatch(/^input +image, 4x1 pixels of 1 bytes$/m)
      writeFileSync(join(folder, 'model.bw'), '')
      expect(bitwright('predict', '.', 'clip.wav').stderr).toBe('bitwright predict: .: is the folder of a run; give model.bw\n')
      rmSync(join(folder, 'model.bw'))
    })

    test('export writes the files of a target', () => {
      const { status, stdout } = bitwright('export', 'sign.bw', '--to', 'bw', '--out', 'as/bw', '--json')
      expect(status).toBe(0)
      const files = [{ path: join('as', 'bw', 'model.bw'), bytes: file.length }]
      expect(JSON.parse(stdout)).toEqual({ target: 'bw', float: false, files })
      expect(new Uint8Array(readFileSync(join(folder, 'as/bw/model.bw')))).toEqual(file)
      const old = Buffer.from(file)
      old.writeUInt32LE(1, 4)
      writeFileSync(join(folder, 'old.bw'), old)
      expect(bitwright('export', 'old.bw', '--to', 'bw', '--out', 'as/new').status).toBe(0)
      expect(new Uint8Array(readFileSync(join(folder, 'as/new/model.bw')))).toEqual(file)
      expect(bitwright('export', 'sign.bw', '--to', 'onnx', '--out', 'as').stdout).toMatch(/^as.model\.onnx \(\d+ bytes\)\n$/)
      expect(readOnnx(readFileSync(join(folder, 'as/model.onnx')))).toMatchObject({ name: 'sign', opset: 25 })
    })

    test.each([
      [
        ['sign.bw', '--to', 'onnx', '--float'],
        2,
        /^bitwright export: --float: sign\.bw has no float network in it; give the folder of a run\n$/,
      ],
      [['sign.bw', '--to', 'bw', '--float'], 2, /^bitwright export: --float: bw holds integer models alone/],
      [['unfinished', '--to', 'onnx'], 1, /^bitwright export: unfinished: has no model yet; finish it/],
      [['unfinished', '--to', 'onnx', '--float'], 1, /^bitwright export: unfinished: has no trained float network; finish it/],
    ])('export %j cannot be', (args, status, message) => {
      mkdirSync(join(folder, 'unfinished'), { recursive: true })
      writeFileSync(join(folder, 'unfinished', 'journal.jsonl'), 'an event')
      expect(bitwright('export', ...args, '--out', 'not')).toMatchObject({ status, stdout: '', stderr: expect.stringMatching(message) })
      expect(existsSync(join(folder, 'not'))).toBe(false)
    })

    test('export --float takes the parameters from before quantization', async () => {
      const network = toneNetwork()
      const engine = await openEngine(1)
      const store = createStore(engine, [network], 1)
      store.value('logits.bias').set([1, 2, 4])
      const run = join(folder, 'trained')
      mkdirSync(run)
      writeFileSync(join(run, 'journal.jsonl'), 'an event')
      writeFileSync(join(run, 'architecture.json'), JSON.stringify(withBits(network, { weightBits: 2, activationBits: 2 })))
      writeCheckpoint(join(run, 'checkpoint.bin'), { stage: 'done', epoch: 0, seconds: 0, floatParameters: store.snapshot() })
      engine.backend.close()
      expect(bitwright('export', 'trained', '--to', 'onnx', '--float', '--out', '.').status).toBe(0)
      const { constants } = readOnnx(readFileSync(join(folder, 'model-float.onnx')))
      expect(constants.get('logits.bias')).toMatchObject({ type: 'float', values: [1, 2, 4] })
    })

    test('info refuses an altered file', () => {
      writeFileSync(join(folder, 'cut.bw'), file.subarray(0, -1))
      expect(bitwright('info', 'cut.bw')).toMatchObject({ status: 1, stderr: expect.stringMatching(/^bitwright info: .*cut\.bw/) })
    })
  })

  test('report writes the page of a run from its journal', () => {
    const journal = openJournal(join(folder, 'run', 'journal.jsonl'))
    for (const event of sampleEvents().slice(0, 60)) journal.append(event)
    journal.close()
    expect(bitwright('report', 'run')).toEqual({ status: 0, stdout: 'run/report.html\n', stderr: '' })
    expect(readFileSync(join(folder, 'run', 'report.html'), 'utf8')).toContain('<!doctype html>')
  })

  const oldNode = ['/usr/bin/node', '/usr/local/bin/node'].find(
    (path) => existsSync(path) && Number.parseInt(execFileSync(path, ['--version'], { encoding: 'utf8' }).slice(1), 10) < 24,
  )
  test.skipIf(!oldNode)('on an older Node hands over to the pinned one, exit code included (skipped: no older Node here)', () => {
    for (const [arg, status, text] of [
      ['--version', 0, /^\d/],
      ['serach', 2, /did you mean search/],
    ] as const) {
      const result = spawnSync(oldNode!, [launcher, arg], { encoding: 'utf8', cwd: folder })
      expect(result.status).toBe(status)
      expect(result.stdout + result.stderr).toMatch(text)
    }
  })
})

describe('tables', () => {
  const scores = {
    accuracy: 0.75,
    count: 4,
    accuracyWithoutSilence: 2 / 3,
    confusion: [
      [2, 1],
      [0, 1],
    ],
    recall: [2 / 3, 1],
    standardError: 0.02,
  }
  const result: EvaluateResult = {
    split: 'test',
    things: 'clips',
    classes: ['yes', '_silence_'],
    float: { ...scores, accuracy: 1 },
    integer: scores,
  }

  test('accuracies with and without silence, a column a model', () => {
    expect(accuracyTable([result])).toBe(
      [
        'accuracy           clips          float       integer',
        'test                   4  100.0 % ± 2.0  75.0 % ± 2.0',
        '  without silence          66.7 %        66.7 %',
      ].join('\n'),
    )
  })

  test('recall and confusion', () => {
    expect(recallTable(result)).toContain('yes            3   66.7 %   66.7 %')
    expect(recallTable({ ...result, things: 'nodes' })).toMatch(/^recall +nodes /)
    expect(accuracyTable([{ ...result, things: 'images' }])).toMatch(/^accuracy +images /)
    expect(confusionTable(result.classes, scores).split('\n')[1]).toMatch(/^yes +2 +1$/)
    expect(confusionTable(result.classes, scores).split('\n')[2]).toMatch(/^_silence_ +\. +1$/)
  })

  test('a finished run ends with sizes and paths', () => {
    const cost = { params: 1000, macs: 2_000_000, flashBytes: 2048, ramBytes: 4096 }
    const layers = [
      { id: 'a', weightBits: 2, activationBits: 4, params: 300, macs: 1 },
      { id: 'b', weightBits: 6, activationBits: 4, params: 100, macs: 1 },
    ]
    const text = resultSummary({
      status: 'finished',
      directory: 'r',
      model: 'r/model.bw',
      report: 'r/report.html',
      cost,
      layers,
      evaluations: [result],
      seconds: 61,
    })
    expect(text).toContain('1k params   2M MACs   flash 2 KiB   RAM 4 KiB   bits 3.00 (weights, average)')
    expect(text).toContain('model   r/model.bw\nreport  r/report.html\ntook    1:01')
  })

  test('a joint search ends with its front', () => {
    const member = {
      ramBytes: 4096,
      macs: 1_500_000,
      weightBits: 3.25,
      activationBits: 5,
      decisions: [],
      network: { name: 'x' } as Network,
    }
    const rows = frontTable([
      { ...member, accuracy: 0.8, flashBytes: 2048 },
      { ...member, accuracy: 0.9, flashBytes: 9216, latencyMs: 12 },
    ]).split('\n')
    expect(rows.map((row) => row.trim().split(/ {2,}/))).toEqual([
      ['member', 'shared', 'flash', 'RAM', 'MACs', 'latency', 'weight bits', 'activation bits'],
      ['0', '80.0 %', '2 KiB', '4 KiB', '1.50M', '3.25', '5.00'],
      ['1', '90.0 %', '9 KiB', '4 KiB', '1.50M', expect.stringContaining('ms'), '3.25', '5.00'],
    ])
  })
})
