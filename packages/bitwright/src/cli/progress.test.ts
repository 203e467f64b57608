// The progress line with a hand-moved clock: what it says, when it is drawn, and Ctrl-C.
import { describe, expect, test, vi } from 'vitest'
import type { EpochsSpec, RunResult } from '../study/api.ts'
import type { StudyEvent } from '../study/events.ts'
import { watchInterrupt } from './interrupt.ts'
import { createProgress } from './progress.ts'
import { runStudy } from './run-study.ts'

const epochs: EpochsSpec = { warmup: 2, search: 4, train: 10, quantize: 5 }

function setUp(isTTY: boolean, columns = 200) {
  let time = 0
  let written = ''
  const target = { isTTY, columns, write: (text: string) => (written += text) }
  const progress = createProgress(target, epochs, () => time)
  return {
    ...progress,
    wait: (milliseconds: number) => (time += milliseconds),
    take: () => {
      const text = written
      written = ''
      return text
    },
  }
}

const epochEvent = (epoch: number, seconds = 12, stage: keyof EpochsSpec = 'train'): StudyEvent => ({
  type: 'epoch',
  stage,
  epoch,
  epochs: epochs[stage],
  learningRate: 0.01,
  seconds,
  trainLoss: 0.5,
  validationAccuracy: 0.873,
  averageWeightBits: 2.5,
  averageActivationBits: 3,
})
const started: StudyEvent = { type: 'stage', stage: 'train', state: 'started' }

describe('progress', () => {
  test('on a terminal: one line redrawn in place, with stage, epoch, accuracy and time left', () => {
    const line = setUp(true)
    line.onEvent(started)
    line.onEvent(epochEvent(3))
    line.take()
    line.wait(200)
    line.onProgress({ stage: 'train', done: 5, total: 10, text: 'steps' })
    const text = line.take()
    expect(text).toMatch(/^\rtrain {2}epoch 4\/10 {2}█{6}░{6} 5\/10 steps/)
    expect(text).toContain('loss 0.500  validation 87.3 %  bits 2.50/3.00')
    // 6.5 epochs of this stage and 5 of the next at 12 s
    expect(text).toContain('2:18 left')
    expect(text).not.toContain('\n')
    line.onProgress({ stage: 'train', done: 6, total: 10, text: 'steps' })
    expect(line.take()).toBe('')
  })

  test('a search tells how long the search takes: its epochs are no measure of the trainings after it', () => {
    const line = setUp(true)
    line.onEvent({ type: 'stage', stage: 'warmup', state: 'started' })
    line.onEvent(epochEvent(1, 12, 'warmup'))
    line.take()
    line.wait(200)
    line.onProgress({ stage: 'warmup', done: 5, total: 10, text: 'steps' })
    // of 2 + 4 epochs 4.5 at 12 s
    expect(line.take()).toContain('54 s left of the search')
  })

  test('the line never wraps', () => {
    const line = setUp(true, 30)
    line.onEvent(started)
    line.onEvent(epochEvent(10))
    // eslint-disable-next-line no-control-regex
    for (const drawn of line.take().split('\r')) expect(drawn.replace(/\u001b\[K/, '').length).toBeLessThan(30)
  })

  test('elsewhere: plain lines, ten seconds apart', () => {
    const line = setUp(false)
    line.onEvent(started)
    line.take()
    for (let step = 0; step < 100; step++) {
      line.wait(1000)
      line.onProgress({ stage: 'train', done: step, total: 100, text: 'steps' })
    }
    const lines = line.take().trimEnd().split('\n')
    expect(lines).toHaveLength(10)
    // eslint-disable-next-line no-control-regex
    expect(lines.join('')).not.toMatch(/[\r\u001b]/)
  })

  test('a finished stage leaves its result and its time', () => {
    const line = setUp(false)
    line.onEvent(started)
    line.onEvent(epochEvent(10))
    line.take()
    line.onEvent({ type: 'stage', stage: 'train', state: 'finished', seconds: 130 })
    expect(line.take()).toMatch(/^train {2}epoch 10\/10 {2}loss 0.500 .*validation 87.3 % .*done in 2:10\n$/)
  })

  test('goes on counting where an earlier sitting stopped, warm-up and search apart', () => {
    const at = (fromEpoch: number, stage: 'warmup' | 'search'): string => {
      const line = setUp(false)
      line.onEvent({ type: 'resumed', fromEpoch, stage: 'search' })
      const said = line.take()
      line.onEvent({ type: 'stage', stage, state: 'started' })
      line.take()
      line.wait(20_000)
      line.onProgress({ stage, done: 1, total: 4, text: 'steps' })
      return said + line.take()
    }
    expect(at(1, 'warmup')).toMatch(/^resumed at warm-up, after epoch 1\nwarm-up {2}epoch 2\/2/)
    expect(at(2, 'search')).toMatch(/^resumed at search\nsearch {2}epoch 1\/4/)
    expect(at(5, 'search')).toMatch(/^resumed at search, after epoch 3\nsearch {2}epoch 4\/4/)
  })

  test('says how many clips there are and which were skipped', () => {
    const line = setUp(false)
    line.onEvent({ type: 'data', directory: 'd', classes: ['a', 'b'], counts: { train: 5, validation: 2, test: 3 }, skipped: 1 })
    expect(line.take()).toBe('2 classes; clips: 5 training, 2 validation, 3 test, 1 broken files skipped\n')
  })
})

describe('Ctrl-C', () => {
  test('the first asks to stop; a second within the same press counts once; a later one kills', () => {
    const kill = vi.spyOn(process, 'kill').mockReturnValue(true)
    let time = 0
    const said: string[] = []
    const before = process.listenerCount('SIGINT')
    const interrupt = watchInterrupt(
      (text) => said.push(text),
      () => time,
    )
    expect(interrupt.requested()).toBe(false)
    process.emit('SIGINT')
    time = 100
    process.emit('SIGINT')
    expect(interrupt.requested()).toBe(true)
    expect(said).toHaveLength(1)
    expect(kill).not.toHaveBeenCalled()
    time = 900
    process.emit('SIGINT')
    expect(kill).toHaveBeenCalledWith(process.pid, 'SIGINT')
    interrupt.stopWatching()
    expect(process.listenerCount('SIGINT')).toBe(before)
    kill.mockRestore()
  })

  test('a run that stopped for it exits with 130 and says how to go on', async () => {
    const stderr = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
    const stdout = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
    const result: RunResult = { status: 'interrupted', directory: 'runs/x', evaluations: [], seconds: 3 }
    await runStudy(
      async (hooks) => {
        expect(hooks.shouldStop()).toBe(false)
        process.emit('SIGINT')
        expect(hooks.shouldStop()).toBe(true)
        return result
      },
      { epochs, command: 'npx bitwright search --out runs/x' },
      false,
    )
    const text = stderr.mock.calls.map(([chunk]) => String(chunk)).join('')
    const out = stdout.mock.calls.map(([chunk]) => String(chunk)).join('')
    stderr.mockRestore()
    stdout.mockRestore()
    expect(process.exitCode).toBe(130)
    process.exitCode = 0
    expect(text).toContain('saving a checkpoint')
    expect(text).toContain('npx bitwright search --out runs/x --resume')
    expect(out).toBe('')
  })
})
