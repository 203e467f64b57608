// Models on the core compiled for this very processor, in Node: the same bits as WebAssembly, with all the vectors the processor has. The
// system's C compiler builds core/ and its addon (core/node/addon.c) on first use; where there is none, WebAssembly takes over.

import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { platform } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compile, CompileError } from './compile.ts'
import type { Core } from './core.ts'
import { load, type Model } from './load.ts'
import { Machines } from './machine.ts'

/** What core/node/addon.c exports. */
interface Addon {
  /** A core with memory of its own, as long as the thread lives; undefined where the system refuses the memory. */
  createCore(): (Omit<Core, 'memory'> & { readonly buffer: ArrayBuffer }) | undefined
}

/** The core's folder: of the checkout, or of the installed package. */
function coreDirectory(): string {
  const candidates = ['../../../core/', '../core/'].map((path) => fileURLToPath(new URL(path, import.meta.url)))
  const found = candidates.find((directory) => existsSync(join(directory, 'bw.h')))
  if (found === undefined) throw new CompileError('the C sources of the core are missing from this installation')
  return found
}

async function compileAddon(onNotice: (line: string) => void): Promise<string> {
  if (platform() === 'win32') throw new CompileError('the core is not compiled on Windows')
  const directory = coreDirectory()
  // the microcontrollers' kernels are empty here, and host.c is a program
  const names = readdirSync(directory).filter((name) => /\.[ch]$/.test(name) && name !== 'host.c' && !name.startsWith('cortex_'))
  const files = [...names.toSorted(), 'node/addon.c'].map((name) => join(directory, name))
  const hash = createHash('sha256')
  for (const file of files) hash.update(readFileSync(file)).update('\0')
  const units = files.filter((file) => file.endsWith('.c'))
  const compileFlags = ['-O3', '-std=gnu99', '-ffp-contract=off']
  const linkFlags = platform() === 'darwin' ? ['-undefined', 'dynamic_lookup'] : []
  return (await compile({ name: 'core', directory, units, hash: hash.digest('hex'), compileFlags, linkFlags }, onNotice)).path
}

function openAddon(path: string): Addon {
  const module = { exports: {} as Addon }
  try {
    process.dlopen(module, path)
  } catch (error) {
    throw new CompileError(`the compiled core cannot be loaded: ${(error as Error).message.split('\n')[0]}`)
  }
  return module.exports
}

function createNativeCore(addon: Addon): Core {
  const core = addon.createCore()
  if (!core) throw new CompileError('the system refuses the core its memory; raise the limit (ulimit -v)')
  const grow = () => {
    throw new RangeError('the model wants more memory than the core has')
  }
  return { ...core, memory: { buffer: core.buffer, grow } }
}

let opening: Promise<Machines | CompileError> | undefined

async function openMachines(onNotice: (line: string) => void): Promise<Machines | CompileError> {
  try {
    const addon = openAddon(await compileAddon(onNotice))
    const machines = new Machines('native', () => createNativeCore(addon))
    void machines.clips
    return machines
  } catch (error) {
    if (error instanceof CompileError) return error
    throw error
  }
}

/** Why there is no native core here; undefined where there is one. Compiles it on first use. */
export async function nativeMissing(): Promise<string | undefined> {
  const machines = await (opening ??= openMachines(() => {}))
  return machines instanceof CompileError ? machines.message : undefined
}

/**
 * As `load`, for the core compiled for this processor; `model.home` says what it runs on.
 * @param file name used in messages
 * @param onNotice receives single lines for people: that the core is being compiled, why WebAssembly takes over; default: standard error
 * @throws BadModelError where the file is damaged or no model
 */
export async function loadNative(bytes: Uint8Array, file = 'model.bw', onNotice: (line: string) => void = console.warn): Promise<Model> {
  const isFirst = opening === undefined
  const machines = await (opening ??= openMachines(onNotice))
  if (!(machines instanceof CompileError)) return load(bytes, file, machines)
  if (isFirst) onNotice(`${machines.message}: models run on WebAssembly instead, at about half the speed`)
  return load(bytes, file)
}
