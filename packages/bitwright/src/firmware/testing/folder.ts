// Folders of firmware for the tests.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type DetectorSettings, encodeModel, type IntegerModel } from '@bitwright/runtime'
import type { ExportedFile } from '../../export/exporter.ts'
import { firmware } from '../../export/firmware.ts'

/** Leaves alone what is there already, so that make builds it once. */
export function writeFiles(folder: string, files: readonly ExportedFile[]): void {
  for (const { path, bytes } of files) {
    const place = join(folder, path)
    mkdirSync(dirname(place), { recursive: true })
    if (!existsSync(place) || !readFileSync(place).equals(Buffer.from(bytes))) writeFileSync(place, bytes)
  }
}

export const newFolder = (): string => mkdtempSync(join(tmpdir(), 'bitwright-firmware-test-'))

/** A model as `bitwright export --to firmware` writes it, in a folder of its own or in the place of another model. */
export function exportedFolder(model: IntegerModel, detector?: DetectorSettings, folder = newFolder()): string {
  writeFiles(folder, firmware.files({ model, file: encodeModel(model), ...(detector && { detector }) }, {}))
  return folder
}
