// A model named on the command line, and the settings of its detector: those found by `evaluate --stream`, changed by flags.
import { type DetectorSettings, load, type Model } from '@bitwright/runtime'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { parseDetectorSettings } from '../export/detector-settings.ts'
import { existingRunDirectory, runDirectory } from '../study/run-directory.ts'
import { readGivenFile } from './given-file.ts'

interface Changes {
  readonly threshold?: number
  readonly smoothing?: number
  readonly refractory?: number
}

/** @param given a .bw file or the folder of a run @throws UsageError where neither is there; RunError where detector.json is damaged */
export function loadDetector(
  given: string,
  { threshold, smoothing, refractory }: Changes,
): { model: Model; settings: Partial<DetectorSettings> } {
  const isFolder = statSync(given, { throwIfNoEntry: false })?.isDirectory() ?? false
  const path = isFolder ? existingRunDirectory(given).model : given
  const model = load(readGivenFile(path), path)
  const kept = runDirectory(isFolder ? given : dirname(given)).detector
  const settings = {
    ...(existsSync(kept) && parseDetectorSettings(readFileSync(kept, 'utf8'), kept)),
    ...(threshold !== undefined && { threshold }),
    ...(smoothing !== undefined && { smoothingSeconds: smoothing }),
    ...(refractory !== undefined && { refractorySeconds: refractory }),
  }
  return { model, settings }
}
