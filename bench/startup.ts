// How long until something happens? `bitwright --help`; the first training step of `bitwright train` with compiled kernels in the cache;
// the same with an empty cache, and the compilation in it. Whole processes, timed from outside.
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Random } from '../packages/engine/src/index.ts'
import { encodeWav } from '../packages/bitwright/src/data/wav.ts'
import { type BenchOptions, median } from './bench.ts'

export interface StartupRow {
  readonly what: string
  /** Median; null where it cannot be had. */
  readonly ms: number | null
  readonly fastest: number | null
  readonly slowest: number | null
  readonly targetMs: number
  readonly processes: number
}

const launcher = fileURLToPath(new URL('../packages/bitwright/bin/bitwright.js', import.meta.url))
const firstStep = fileURLToPath(new URL('first-step.ts', import.meta.url))

/** Milliseconds from the start of a process to each of its lines, on both outputs. */
function linesOf(args: readonly string[], environment: NodeJS.ProcessEnv): Promise<{ line: string; ms: number }[]> {
  return new Promise((resolve, reject) => {
    const start = performance.now()
    const child = spawn(process.execPath, args, { env: environment, stdio: ['ignore', 'pipe', 'pipe'] })
    const lines: { line: string; ms: number }[] = []
    for (const stream of [child.stdout, child.stderr]) {
      let rest = ''
      stream.setEncoding('utf8').on('data', (text: string) => {
        const ms = performance.now() - start
        const parts = (rest + text).split('\n')
        rest = parts.pop()!
        for (const line of parts) lines.push({ line, ms })
      })
    }
    child.on('error', reject)
    child.on('close', (code) => {
      lines.push({ line: '', ms: performance.now() - start })
      if (code === 0) resolve(lines)
      else reject(new Error(`node ${args.join(' ')} ended with ${code}: ${lines.map(({ line }) => line).join('; ')}`))
    })
  })
}

function row(what: string, targetMs: number, times: readonly (number | undefined)[]): StartupRow {
  const known = times.filter((time) => time !== undefined)
  if (known.length === 0) return { what, ms: null, fastest: null, slowest: null, targetMs, processes: times.length }
  return { what, ms: median(known), fastest: Math.min(...known), slowest: Math.max(...known), targetMs, processes: times.length }
}

/** A folder of clips of noise, enough for a batch of 64. */
function writeClips(folder: string): void {
  const random = new Random(0, 'clips')
  for (const word of ['no', 'yes']) {
    mkdirSync(join(folder, word), { recursive: true })
    for (let clip = 0; clip < 50; clip++) {
      const samples = Int16Array.from({ length: 16_000 }, () => random.integer(2000) - 1000)
      writeFileSync(join(folder, word, `${clip.toString(16).padStart(8, '0')}_nohash_0.wav`), encodeWav(samples, 16_000))
    }
  }
}

export async function startup({ threads, quick, note }: BenchOptions): Promise<StartupRow[]> {
  const [helps, warm, cold] = quick ? [2, 1, 1] : [20, 5, 3]
  const folder = mkdtempSync(join(tmpdir(), 'bitwright-startup-'))
  try {
    const help: number[] = []
    for (let i = 0; i < helps; i++) help.push((await linesOf([launcher, '--help'], process.env)).at(-1)!.ms)

    writeClips(join(folder, 'clips'))
    let runs = 0
    const train = (cache?: string) => {
      const where = ['--data', join(folder, 'clips'), '--out', join(folder, `run${runs++}`), '--threads', String(Math.max(...threads))]
      const what = ['train', '--network', 'kws-e2e-e3k5', '--epochs', '1', '--batch-size', '64']
      return linesOf([firstStep, ...what, ...where], cache === undefined ? process.env : { ...process.env, XDG_CACHE_HOME: cache })
    }
    const at = (lines: { line: string; ms: number }[], text: string) => lines.find(({ line }) => line.includes(text))?.ms
    // the kernels are in the cache after this one
    await train()
    const steps: (number | undefined)[] = []
    for (let i = 0; i < warm; i++) steps.push(at(await train(), 'first step'))

    const firsts: (number | undefined)[] = []
    const compilations: (number | undefined)[] = []
    for (let i = 0; i < cold; i++) {
      const lines = await train(join(folder, `cache${i}`))
      const said = at(lines, 'compiling the kernels')
      if (said === undefined) note(`nothing was compiled: ${lines.map(({ line }) => line).join('; ')}`)
      firsts.push(at(lines, 'first step'))
      compilations.push(said === undefined ? undefined : at(lines, 'backend ')! - said)
    }
    return [
      row('bitwright --help', 150, help),
      row('first training step', 1000, steps),
      row('first training step, empty kernel cache', 21_000, firsts),
      row('compiling the kernels, after its line of progress', 20_000, compilations),
    ]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
