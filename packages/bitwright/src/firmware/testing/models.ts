// Runs random models on an emulated processor: core/ compiled with the flags of the exported Makefile, images loaded at run time.
import { spawnSync } from 'node:child_process'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { encodeModel, type IntegerModel } from '@bitwright/runtime'
import { firmware, firmwareFolder } from '../../export/firmware.ts'
import type { FirmwareInput } from '../../export/firmware-batch.ts'
import { firmwareModel, type FirmwareTarget, targetKernels, targetMachines } from '../../export/firmware-targets.ts'
import { writeFiles } from './folder.ts'

export interface ModelJob {
  readonly model: IntegerModel
  readonly input: FirmwareInput
  /** The input is a stream, through the core's stream. */
  readonly streams?: boolean
}

/** A folder with the core and the program firmware/testing/models.c, for `runModels`. */
export function prepareModels(folder: string, anyModel: IntegerModel): void {
  writeFiles(folder, firmware.files({ model: anyModel, file: encodeModel(anyModel) }, {}))
  cpSync(join(firmwareFolder, 'testing/models.c'), join(folder, 'examples/models.c'))
  cpSync(join(firmwareFolder, '../core/front_end_tables.c'), join(folder, 'core/front_end_tables.c'))
  const makefile = join(folder, 'Makefile')
  writeFileSync(makefile, readFileSync(makefile, 'utf8').replace('model.c core/', 'core/front_end_tables.c model.c core/'))
}

const filled = (bytes: Uint8Array): Buffer => Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)])

export interface ImageJob {
  readonly image: Uint8Array
  readonly classes: number
  readonly input: FirmwareInput
  /** The input is a stream, through the core's stream. */
  readonly streams?: boolean
}

export interface ImageResult {
  readonly status: number
  /** All of them. */
  readonly logits: readonly (readonly number[])[]
}

export function runModels(folder: string, target: FirmwareTarget, jobs: readonly ModelJob[]): ImageResult[] {
  const images = jobs.map(({ model, input, streams = false }) => ({
    image: encodeModel(firmwareModel(model, targetKernels[target])),
    classes: model.classes.length,
    input,
    streams,
  }))
  return runImages(folder, target, images)
}

/** Images as they are, right or not. */
export function runImages(folder: string, target: FirmwareTarget, jobs: readonly ImageJob[]): ImageResult[] {
  const make = spawnSync('make', ['-s', '-j2', '-C', folder, `TARGET=${target}`, 'ATTENTION=1', `build/${target}/models.elf`], {
    encoding: 'utf8',
  })
  if (make.status !== 0 || make.stderr !== '') throw new Error(`models.c for ${target}: ${make.stderr}`)
  const parts = jobs.flatMap(({ image, input, streams }) => {
    const bytes = new Uint8Array(input.buffer, input.byteOffset, input.byteLength)
    return [Buffer.from(Uint32Array.of(image.length, bytes.length, streams ? 1 : 0).buffer), filled(image), filled(bytes)]
  })
  const cwd = join(folder, `build/${target}`)
  writeFileSync(join(cwd, 'jobs.bin'), Buffer.concat(parts))
  const args = ['-M', targetMachines[target], '-kernel', 'models.elf', '-nographic', '-monitor', 'none', '-serial', 'none']
  const semihosting = ['-chardev', 'stdio,id=console', '-semihosting-config', 'enable=on,target=native,chardev=console']
  const run = spawnSync('qemu-system-arm', [...args, ...semihosting], { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  if (run.status !== 0) throw new Error(`models.c on ${target} ends with status ${run.status}: ${run.stdout}${run.stderr}`)
  const results = readFileSync(join(cwd, 'results.bin'))
  let at = 0
  return jobs.map(({ classes }) => {
    const status = results.readUInt32LE(at)
    at += 4
    if (status !== 0) return { status, logits: [] }
    const count = results.readUInt32LE(at)
    const bytes = Math.ceil(classes / 2) * 4
    const first = at + 4
    at = first + count * bytes
    const logits = Array.from({ length: count }, (_, answer) =>
      Array.from({ length: classes }, (__, i) => results.readInt16LE(first + answer * bytes + 2 * i)),
    )
    return { status, logits }
  })
}
