// Compiles C for this very machine with the system's compiler, once: the library is kept in the user's cache under a hash of everything
// that could change it (sources, flags, compiler, processor). Processes that come at the same time each build their own and rename
// it into place; the files are equal, so it does not matter who is last.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { arch, availableParallelism, cpus, homedir, platform } from 'node:os'
import { basename, join } from 'node:path'

/** No library can be compiled: one line that says why and what to do. */
export class CompileError extends Error {
  override readonly name: string = 'CompileError'
}

export interface Recipe {
  /** What it is, in one word: of the cached file and in messages. */
  readonly name: string
  /** Where headers are looked for. */
  readonly directory: string
  /** Paths of the translation units. */
  readonly units: readonly string[]
  /** Over the contents of units and headers. */
  readonly hash: string
  /** Beside those that make a library for this processor. */
  readonly compileFlags: readonly string[]
  readonly linkFlags: readonly string[]
}

export interface Library {
  readonly path: string
  /** e.g. `gcc 12.2`. */
  readonly compiler: string
}

const processorFlag = arch() === 'arm64' ? '-mcpu=native' : '-march=native'
const libraryFlags = [processorFlag, '-fPIC', '-fvisibility=hidden', '-fno-semantic-interposition']
// nodelete: threads may outlive the last reference to the library.
const sharedFlags = ['-shared', ...(platform() === 'linux' ? ['-Wl,-z,nodelete'] : [])]

interface Outcome {
  readonly ok: boolean
  readonly output: string
  readonly errors: string
}

function execute(command: readonly string[], more: readonly string[]): Promise<Outcome> {
  const environment = { ...process.env, LC_ALL: 'C' }
  return new Promise((resolve) => {
    execFile(command[0], [...command.slice(1), ...more], { env: environment, maxBuffer: 2 ** 26 }, (error, stdout, stderr) =>
      resolve({ ok: !error, output: stdout, errors: stderr || (error?.message ?? '') }),
    )
  })
}

/** `$CC` where it is set, else the first of cc, gcc and clang that answers. */
async function findCompiler(): Promise<{ command: string[]; version: string }> {
  const chosen = process.env.CC?.trim()
  for (const candidate of chosen ? [chosen] : ['cc', 'gcc', 'clang']) {
    const command = candidate.split(/\s+/)
    const { ok, output } = await execute(command, ['--version'])
    if (ok) return { command, version: output }
  }
  throw new CompileError(
    chosen
      ? `the C compiler in $CC (${chosen}) does not run; correct or unset CC`
      : 'no C compiler found (tried cc, gcc, clang); install one or set CC',
  )
}

/** `gcc 12.2` from what `--version` prints. */
export function compilerName(version: string, command: string): string {
  const name = /clang/i.test(version) ? 'clang' : /Free Software Foundation/.test(version) ? 'gcc' : basename(command)
  const number = version
    .split('\n')[0]
    .replace(/\(.*?\)/g, '')
    .match(/\d+\.\d+/)
  return number ? `${name} ${number[0]}` : name
}

function processor(): string {
  const machine = `${platform()} ${arch()}`
  try {
    const lines = readFileSync('/proc/cpuinfo', 'utf8').split('\n')
    const facts = ['model name', 'flags', 'Features', 'CPU implementer', 'CPU part']
    return [machine, ...facts.map((fact) => lines.find((line) => line.startsWith(fact)) ?? '')].join('\n')
  } catch {
    return `${machine} ${cpus()[0]?.model}`
  }
}

function cacheDirectory(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'bitwright')
}

function makeWorkDirectory(cache: string): string {
  try {
    mkdirSync(cache, { recursive: true })
    return mkdtempSync(join(cache, 'building-'))
  } catch (error) {
    throw new CompileError(`cannot write to the cache ${cache} (${(error as Error).message}); point XDG_CACHE_HOME elsewhere`)
  }
}

/** Compiles the recipe unless a current library is in the cache. Throws a CompileError with the compiler's first error line. */
export async function compile(recipe: Recipe, onNotice: (line: string) => void): Promise<Library> {
  const { command, version } = await findCompiler()
  const compiler = compilerName(version, command[0])
  const compileFlags = [...libraryFlags, ...recipe.compileFlags]
  const linkFlags = [...sharedFlags, ...recipe.linkFlags]
  const key = createHash('sha256')
  for (const part of [recipe.hash, command.join(' '), version, compileFlags.join(' '), linkFlags.join(' '), processor()])
    key.update(`${part}\0`)
  const cache = cacheDirectory()
  const path = join(cache, `${recipe.name}-${key.digest('hex').slice(0, 32)}.so`)
  if (existsSync(path)) return { path, compiler }

  onNotice(`compiling the ${recipe.name} for this processor with ${compiler} (once)`)
  const work = makeWorkDirectory(cache)
  try {
    const objects = recipe.units.map((unit) => join(work, `${basename(unit, '.c')}.o`))
    const queue = recipe.units.map((unit, i) => [...compileFlags, '-I', recipe.directory, '-c', unit, '-o', objects[i]])
    const build = async () => {
      for (let step = queue.shift(); step; step = queue.shift()) await must(command, step)
    }
    await Promise.all(Array.from({ length: availableParallelism() }, build))
    const library = join(work, 'library.so')
    await must(command, [...objects, ...linkFlags, '-o', library])
    renameSync(library, path)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
  return { path, compiler }
}

async function must(command: readonly string[], step: readonly string[]): Promise<void> {
  const { ok, errors } = await execute(command, step)
  if (ok) return
  const lines = errors.split('\n').filter((line) => line.trim())
  throw new CompileError(`the C compiler failed: ${lines.find((line) => /error/i.test(line)) ?? lines[0]}`)
}
