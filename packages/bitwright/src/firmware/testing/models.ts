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
}

/** Status and logits of each job. */
export function runModels(folder: string, target: FirmwareTarget, jobs: readonly ModelJob[]): { status: number; logits: number[] }[] {
  const images = jobs.map(({ model, input }) => ({
    image: encodeModel(firmwareModel(model, targetKernels[target])),
    classes: model.classes.length,
    input,
  }))
  return runImages(folder, target, images)
}

/** Status and logits of images as they are, right or not. */
export function runImages(folder: string, target: FirmwareTarget, jobs: readonly ImageJob[]): { status: number; logits: number[] }[] {
  const make = spawnSync('make', ['-s', '-j2', '-C', folder, `TARGET=${target}`, `build/${target}/models.elf`], { encoding: 'utf8' })
  if (make.status !== 0 || make.stderr !== '') throw new Error(`models.c for ${target}: ${make.stderr}`)
  const parts = jobs.flatMap(({ image, input }) => {
    const bytes = new Uint8Array(input.buffer, input.byteOffset, input.byteLength)
    return [Buffer.from(Uint32Array.of(image.length, bytes.length).buffer), filled(image), filled(bytes)]
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
    const logits = Array.from({ length: classes }, (_, i) => results.readInt16LE(at + 2 * i))
    at += Math.ceil(classes / 2) * 4
    return { status, logits }
  })
}
