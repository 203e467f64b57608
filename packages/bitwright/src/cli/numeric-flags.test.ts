// Every flag of every verb that takes a number, given what is none or out of any range: one line that names it, and nothing begun.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Command } from 'commander'
import { afterAll, expect, test } from 'vitest'
import { UsageError } from '../errors.ts'

const folder = mkdtempSync(join(tmpdir(), 'bitwright-flags-'))
afterAll(() => rmSync(folder, { recursive: true }))
const run = join(folder, 'run')
const out = join(folder, 'out')
writeFileSync(join(folder, 'a.wav'), '')

const bw = join(folder, 'a.bw')
/** What else each verb needs to get as far as its numbers. */
const given: Readonly<Record<string, readonly string[]>> = {
  search: ['--data', folder, '--out', out],
  train: ['--network', 'ds-cnn-s', '--data', folder, '--out', out],
  adapt: [run, '--data', folder, '--out', out],
  evaluate: [run, '--data', folder, '--stream'],
  listen: [bw, join(folder, 'a.wav')],
  quickstart: ['--out', out],
  'data synth': ['--words', 'a,b', '--out', out],
  'hardware calibrate': ['--target', 'cortex-m4', '--out', out],
  'hardware measure': [],
}
const numeric = /<(N|X|S|SHARE|HZ|TIME|SIZE|NUMBER|N\|trained|N\|stage=N,\.\.)>$/
const nonsense = ['', ' ', 'x', 'NaN', 'Infinity', '-Infinity', '-1', '1e999', '5 apples', '0x', '1,5', '--']
/** What these flags alone refuse. */
const outOfRange: Readonly<Record<string, readonly string[]>> = {
  '--weight-bits': ['0', '9', '2.5'],
  '--activation-bits': ['0', '9', '2.5'],
  '--average-bits': ['1', '1.99', '8.01', '100'],
  '--filters': ['0', '1.5', '1e3', '99999999999'],
  '--batch-size': ['0', '1.5', '99999999999'],
  '--threads': ['0', '1.5', '257'],
  '--seed': ['1.5', '99999999999999999999'],
  '--clips': ['0', '1.5'],
  '--finalists': ['0', '1.5', '1001'],
  '--networks': ['0', '15', '1e6'],
  '--flash': ['0', '9e99g'],
  '--macs': ['0', '1kb'],
  '--latency': ['0ms', '20', '20m', '-1s'],
  '--epochs': ['0', 'train=x', 'tran=3', '1.5', '999999'],
  '--learning-rate': ['0', '1.1', '1e30'],
  '--bit-penalty': ['0', '1e30'],
  '--seconds': ['0', '1e9'],
  '--threshold': ['1.01'],
  '--minutes': ['0', '1e9'],
  '--false-accepts': ['0', '1e9'],
  '--smoothing': ['1e9'],
  '--refractory': ['1e9'],
  '--replay': ['1', '1.5'],
  '--candidates': ['0', '1.5'],
  '--rate': ['0', '1.5', '1e9'],
}

const cases = await Promise.all(
  Object.entries(given).map(async ([name, rest]) => {
    const [first, second] = name.split(' ')
    const { command } = (await import(`./${first}.ts`)) as { command: () => Command }
    const root = command()
    const verb = second === undefined ? root : root.commands.find((each) => each.name() === second)!
    const flags = verb.options.filter((option) => numeric.test(option.flags)).map(({ long }) => long!)
    return { name, flags, rest, words: second === undefined ? [] : [second], command }
  }),
)

test('the numeric flags are the known ones', () => {
  expect(Object.fromEntries(cases.map(({ name, flags }) => [name, flags.length]))).toMatchInlineSnapshot(`
    {
      "adapt": 10,
      "data synth": 2,
      "evaluate": 4,
      "hardware calibrate": 2,
      "hardware measure": 2,
      "listen": 4,
      "quickstart": 1,
      "search": 18,
      "train": 16,
    }
  `)
})

test.each(cases.flatMap(({ flags, ...rest }) => flags.map((flag) => ({ ...rest, flag }))))(
  '$name $flag',
  async ({ flag, rest, words, command }) => {
    for (const value of [...nonsense, ...(outOfRange[flag] ?? [])]) {
      const args = [...words, ...rest, `${flag}=${value}`]
      const error: unknown = await command()
        .parseAsync(args, { from: 'user' })
        .then(
          () => undefined,
          (thrown: unknown) => thrown,
        )
      expect(error, `${flag}=${value}`).toBeInstanceOf(UsageError)
      expect((error as UsageError).message, `${flag}=${value}`).toMatch(new RegExp(`^${flag} [^\\n]+[:;] [^\\n]+$`))
      expect(existsSync(out)).toBe(false)
    }
  },
)
